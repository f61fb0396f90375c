"""DeepSeek.

- `content` must be a text: parts are "invalid type: sequence, expected a string" (QwenLM/qwen-code/pull/2320,
  marimo-team/marimo/issues/7036). Parts that are all text are joined; others are refused by DeepSeek itself.
- The bound is `max_tokens` (api-docs.deepseek.com/api/create-chat-completion).
- Reasoning comes as `reasoning_content`, and has to be sent back with tool calls: it travels as it is. Cached input is
  `prompt_cache_hit_tokens`, part of `prompt_tokens`: `gateway.wire.usage` reads it.
- A filter refuses with 400 "Content Exists Risk" (666ghj/BettaFish/issues/108); an empty account with 402
  "Insufficient Balance" (api-docs.deepseek.com/quick_start/error_codes).
"""

from __future__ import annotations

import msgspec

from gateway.upstream.dialects.complaints import Words
from gateway.upstream.dialects.protocol import Wish
from gateway.upstream.dialects.variant import MAX_TOKENS_ONLY, Variant, read_messages, write_messages
from gateway.wire.requests import CHAT, COMPLETIONS, Fields, ModelRequest


class _Text(msgspec.Struct):
    type: str
    text: str


_texts_decoder = msgspec.json.Decoder(list[_Text])
_encode = msgspec.json.encode


class DeepSeek(Variant):
    """OpenAI's wire, with plain texts as contents."""

    name = "deepseek"
    apis = frozenset((CHAT, COMPLETIONS))
    renames = MAX_TOKENS_ONLY
    words = Words(content_filter=("content exists risk",), account=("insufficient balance",))

    def differs(self, request: ModelRequest, wish: Wish) -> bool:
        """Whether a bound is to be renamed, or any content may be in parts."""
        return super().differs(request, wish) or (request.api == CHAT and b'"text"' in request.body)

    def revise(self, fields: Fields, request: ModelRequest) -> None:
        """Rename the bound, join texts in parts."""
        super().revise(fields, request)
        if request.api != CHAT:
            return
        messages = read_messages(fields)
        changed = False
        for message in messages:
            content = message.get("content")
            if content is not None and (joined := _joined(content)) is not None:
                message["content"] = joined
                changed = True
        if changed:
            write_messages(fields, messages)


def _joined(content: msgspec.Raw) -> msgspec.Raw | None:
    """Parts as one text, a line break between them; None for anything but texts in parts."""
    if bytes(memoryview(content)[:1]) != b"[":
        return None
    try:
        parts = _texts_decoder.decode(content)
    except msgspec.ValidationError:
        return None
    if any(part.type != "text" for part in parts):
        return None
    return msgspec.Raw(_encode("\n".join([part.text for part in parts])))


DIALECT = DeepSeek()
