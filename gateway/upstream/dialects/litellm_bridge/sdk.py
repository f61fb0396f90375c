"""The LiteLLM SDK, with everything switched off that is not translation. Imported in its own thread only.

Its retries, fallbacks, callbacks, caches, costs and logs are off, and it fetches nothing at start-up. What follows
touches its inside is `_reach_inside`; the tests tell when a new version has moved what it replaces.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.upstream.dialects.litellm_bridge.failures import Facts
from gateway.upstream.dialects.litellm_bridge.network import Watch, WatchedSyncTransport, WatchedTransport

_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # prices are not its business; else it fetches a table at import
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",  # else it reads a `.env` file into our environment
    "LITELLM_LOG": "ERROR",
}
_SETTINGS: dict[str, Any] = {
    "cache": None,
    "callbacks": [],
    "context_window_fallbacks": None,
    "default_fallbacks": None,
    "disable_hf_tokenizer_download": True,
    "disable_streaming_logging": True,
    "disable_token_counter": True,  # usage that a provider does not give is not made up
    "drop_params": False,
    "failure_callback": [],
    "fallbacks": None,
    "input_callback": [],
    "max_budget": 0.0,
    "model_fallbacks": None,
    "modify_params": False,
    "num_retries": None,
    "redact_messages_in_exceptions": True,
    "service_callback": [],
    "success_callback": [],
    "suppress_debug_info": True,  # else it prints advertisements
    "telemetry": False,
    "turn_off_message_logging": True,
    "REPEATED_STREAMING_CHUNK_LIMIT": 1_000_000_000,  # an answer that repeats itself is still the answer
}
_LOGGERS = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router", "httpx", "httpcore", "openai")
"""Some tell whole requests, some URLs with keys in them."""
_ARGUMENTS: dict[str, Any] = {
    "num_retries": 0,
    "max_retries": 0,
    "timeout": 86_400.0,  # our own time-outs rule
    "_is_litellm_internal_call": True,  # no bookkeeping of its own afterwards
}

Function = Callable[..., Awaitable[Any]]

_TRANSPORT = WatchedTransport()
"""One for the process: the SDK keeps the clients that it has made."""


class Sdk:
    """The functions that a call can name, and what is below them."""

    def __init__(self, functions: dict[str, Function]) -> None:
        self._functions = functions

    async def call(self, function: str, arguments: dict[str, Any]) -> Any:
        """Make a call. Raises whatever LiteLLM raises."""
        return await self._functions[function](**arguments, **_ARGUMENTS)

    async def close(self) -> None:
        """Close all connections."""
        await _TRANSPORT.close()


def load() -> Sdk:
    """Import it (5 to 10 s, 160 MB) and switch off what we do not want. Raises ImportError."""
    os.environ.update(_ENVIRONMENT)
    import litellm

    for name, value in _SETTINGS.items():
        setattr(litellm, name, value)
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.CRITICAL)
    _reach_inside(litellm)
    return Sdk({"acompletion": litellm.acompletion, "aembedding": litellm.aembedding})


def _reach_inside(litellm: Any) -> None:
    from litellm.litellm_core_utils.litellm_logging import Logging
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    replaced: tuple[tuple[Any, str, Any], ...] = (
        # Every asynchronous client is made on top of the one, every synchronous client on top of the other.
        (AsyncHTTPHandler, "_create_async_transport", staticmethod(lambda **_: _TRANSPORT)),
        (litellm, "sync_transport", WatchedSyncTransport()),
        # No accounts of calls that succeeded or failed: they are copied and priced for those.
        (Logging, "success_handler", _nothing),
        (Logging, "failure_handler", _nothing),
        (Logging, "async_success_handler", _nothing_at_last),
        (Logging, "async_failure_handler", _nothing_at_last),
        # No price on each answer.
        (importlib.import_module("litellm.utils"), "update_response_metadata", _nothing),
    )
    for owner, name, value in replaced:
        setattr(owner, name, value)


def _nothing(*_: Any, **__: Any) -> None:
    return None


async def _nothing_at_last(*_: Any, **__: Any) -> None:
    return None


def facts(error: BaseException, watch: Watch) -> Facts:
    """What an exception and the network know of a failed call."""
    original = getattr(error, "original_exception", None)
    if type(error).__name__ == "MidStreamFallbackError" and isinstance(original, BaseException):
        error = original
    kinds = tuple(kind.__name__ for kind in type(error).__mro__)
    message = str(getattr(error, "message", None) or error)
    return Facts(kinds, message, watch.status, watch.headers, watch.error_body, sent=watch.sent_s is not None)
