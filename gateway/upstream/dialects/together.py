"""Together AI.

- The bound is `max_tokens` (together 3.1, `chat.completion_create_params`).
- An answer that ended by itself may say `eos` for `stop` (same, `finish_reason`), which OpenAI's SDKs do not know.
- Too long an input is "`inputs` tokens + `max_new_tokens` must be <= N" (github.com/BerriAI/litellm/issues/4934).
"""

from __future__ import annotations

import re

from gateway.upstream.dialects.complaints import Words
from gateway.upstream.dialects.events import EventTranslation
from gateway.upstream.dialects.protocol import Translation, Wish
from gateway.upstream.dialects.variant import MAX_TOKENS_ONLY, Variant
from gateway.wire.requests import EMBEDDINGS, ModelRequest

_EOS = re.compile(rb'("finish_reason":\s*)"eos"')
"""Never inside of a text: quotes are escaped there."""


class Together(Variant):
    """OpenAI's wire, with another word for the end."""

    name = "together"
    renames = MAX_TOKENS_ONLY
    words = Words(context_too_long=("`max_new_tokens` must be",))

    def translation(self, request: ModelRequest, wish: Wish) -> Translation | None:
        """Puts the finish reason right."""
        return None if request.api == EMBEDDINGS else _Answer()


class _Answer(EventTranslation):
    __slots__ = ()

    def whole(self, body: bytes) -> bytes:
        return _stop(body)

    def event(self, event: bytes) -> bytes:
        return _stop(event)


def _stop(text: bytes) -> bytes:
    return _EOS.sub(rb'\1"stop"', text) if b'"eos"' in text else text


DIALECT = Together()
