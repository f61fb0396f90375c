"""Translating a LiteLLM proxy's configuration into ours. Off the gateway's path: only `farebox import` uses it."""

from gateway.config.litellm.translate import Translation, translate, translate_file

__all__ = ["Translation", "translate", "translate_file"]
