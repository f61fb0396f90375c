"""Requests of another tongue, for a dialect: what only Anthropic's models can use is taken out where it is not theirs.

Chat forms keep such words (`thinking`, `cache_control`, `thinking_blocks`) beside OpenAI's (`gateway.wire.messages`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import ModelRequest

_TAKE_ALL: Final = frozenset(("anthropic", "litellm"))
"""Dialects in which these words can be said."""
_STRICT: Final = frozenset(("azure", "groq", "mistral"))
"""Those whose provider refuses fields that it does not know."""
_OPENAIS_BOUND: Final = "max_completion_tokens"
"""By which OpenAI itself is told from those who only speak its wire: some of these want their models' thoughts back."""


def in_words_of(dialect: str, request: ModelRequest, wish: Wish) -> ModelRequest:
    """The chat form of a tongue's request as `dialect` can say it."""
    native = request.native
    if native is None or dialect in _TAKE_ALL:
        return request
    strict = dialect in _STRICT or (dialect == "openai" and wish.max_tokens_field == _OPENAIS_BOUND)
    plain: Callable[..., ModelRequest] = import_module(
        f"gateway.wire.{native.api}.plain"
    ).plain  # its tongue is loaded by now
    return plain(request, wish.upstream_model, wish.max_tokens_field, strict=strict)
