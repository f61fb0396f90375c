"""Thoughts of models that sign none, in answers of a wire where every thought is signed.

Clients send thoughts back, and Anthropic refuses any that it has not signed. So those of other models carry a mark of
our own as their signature, by which they are known again: a model of the chat wire gets them as `reasoning_content`,
and a deployment that speaks the Messages API never sees them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

MARK: Final = "farebox"
"""The signature of thoughts that have none."""
MARK_JSON: Final = b'"farebox"'

_Fields = dict[str, msgspec.Raw]
_messages_decoder = msgspec.json.Decoder(list[_Fields])
_blocks_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_block_decoder = msgspec.json.Decoder(_Fields)
_encode = msgspec.json.encode


def without_ours(messages: msgspec.Raw) -> msgspec.Raw:
    """`messages` without the thoughts that carry our mark; a message of nothing else goes with them."""
    kept: list[dict[str, Any]] = []
    for message in _messages_decoder.decode(messages):
        content = message.get("content", msgspec.Raw(b"null"))
        if MARK_JSON not in bytes(content) or bytes(memoryview(content)[:1]) != b"[":
            kept.append(message)
            continue
        blocks = [raw for raw in _blocks_decoder.decode(content) if not is_ours(_block_decoder.decode(raw))]
        if blocks:
            kept.append({**message, "content": blocks})
    return msgspec.Raw(_encode(kept))


def is_ours(block: _Fields) -> bool:
    """Whether a block is a thought that we have marked."""
    return bytes(block.get("type", b"")) == b'"thinking"' and bytes(block.get("signature", b"")) == MARK_JSON
