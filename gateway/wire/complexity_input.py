"""What the complexity model reads of a chat request: the ends of the last user message, and counts. Capped.

It takes messages whose contents msgspec skipped over, as the request's reader leaves them (`ModelRequest.messages`);
only the head and the tail of one message are ever decoded, and only the last messages are looked at. 400 kB cost what
4 kB cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from routing.complexity import HEAD_CHARS, TAIL_CHARS, ComplexityInput

_MAX_ESCAPED: Final = 12
"""Bytes that one character can take in JSON: two escapes, as in `\\ud83d\\ude00`."""
_MAX_PARTS = 64
_MAX_MESSAGES = 200
_MAX_OPENING = 4
"""Where a conversation's instructions stand: its first messages."""
_QUOTE = ord('"')
_LIST = ord("[")
_NOTHING = msgspec.Raw(b"null")
_SYSTEM = ("system", "developer")


class Message(Protocol):
    """A message as it was decoded."""

    role: Any
    content: msgspec.Raw


class _Message(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = _NOTHING


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = msgspec.Raw(b"")


_messages_decoder = msgspec.json.Decoder(list[_Message])
_parts_decoder = msgspec.json.Decoder(list[_Part])
_text_decoder = msgspec.json.Decoder(str)
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_messages(messages: msgspec.Raw) -> Sequence[Message]:
    """A request's `messages`, their contents skipped; none when they have another shape. One pass over the bytes."""
    try:
        return _messages_decoder.decode(messages)
    except _MALFORMED:
        return ()


def complexity_input(
    messages: Sequence[Message], tools: int = 0, tools_bytes: int = 0, max_output_tokens: int | None = None
) -> ComplexityInput:
    """What the complexity model is told of a request. About 5 µs; what has an unknown shape counts as empty."""
    text, turns = _NOTHING, 0
    for message in messages[-_MAX_MESSAGES:]:
        if message.role == "user":
            text = message.content
            turns += 1
    opening = messages[:_MAX_OPENING]
    system_bytes = sum(memoryview(each.content).nbytes for each in opening if each.role in _SYSTEM)
    head, tail, text_bytes = _ends(_string(text))
    return ComplexityInput(head, tail, text_bytes, system_bytes, tools, tools_bytes, max(turns, 1), max_output_tokens)


def _string(content: msgspec.Raw) -> memoryview:
    """The JSON string that a content has: itself, or its longest text part. Without the quotes."""
    view = memoryview(content)
    if view and view[0] == _LIST:
        try:
            parts = _parts_decoder.decode(content)[-_MAX_PARTS:]
        except _MALFORMED:
            return memoryview(b"")
        view = max((memoryview(part.text) for part in parts), key=len, default=memoryview(b""))
    return view[1:-1] if len(view) > 1 and view[0] == _QUOTE else memoryview(b"")


def _ends(string: memoryview) -> tuple[str, str, int]:
    """The beginning and the end of a JSON string, and its size in bytes."""
    size = string.nbytes
    if size <= (HEAD_CHARS + TAIL_CHARS) * _MAX_ESCAPED:
        text = _decoded(bytes(string))
        return text[:HEAD_CHARS], text[HEAD_CHARS:][-TAIL_CHARS:], size
    head = _decoded(_cut_end(bytes(string[: HEAD_CHARS * _MAX_ESCAPED])))
    tail = _decoded(_cut_start(bytes(string[-TAIL_CHARS * _MAX_ESCAPED :])))
    return head[:HEAD_CHARS], tail[-TAIL_CHARS:], size


def _cut_end(data: bytes) -> bytes:
    """Nothing half at the end: a space is never inside an escape or a character."""
    return data[: data.rfind(b" ")] if b" " in data else data


def _cut_start(data: bytes) -> bytes:
    """Nothing half at the beginning."""
    return data[data.find(b" ") + 1 :]


def _decoded(data: bytes) -> str:
    """The text of a piece of a JSON string; of one that is no such piece, its bytes as they are."""
    if b"\\" in data:
        try:
            return _text_decoder.decode(b'"' + data + b'"')
        except _MALFORMED:
            pass
    return data.decode("utf-8", "replace")
