"""What the complexity model reads of a chat request: the ends of the last user message, and counts. Capped.

The messages are walked once by msgspec, which skips over their contents; only the head and the tail of one message are
ever decoded. A request of 400 kB costs one pass over its bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from routing.complexity import HEAD_CHARS, TAIL_CHARS, ComplexityInput

_MAX_ESCAPED: Final = 6
"""Bytes that one character can take in JSON: an escape, `\\u00e9`."""
_MAX_PARTS = 64
_QUOTE = ord('"')
_LIST = ord("[")
_NOTHING = msgspec.Raw(b"null")
_SYSTEM = frozenset(("system", "developer"))


class _Message(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = _NOTHING


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = msgspec.Raw(b"")


_messages_decoder = msgspec.json.Decoder(list[_Message])
_parts_decoder = msgspec.json.Decoder(list[_Part])
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_text_decoder = msgspec.json.Decoder(str)
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def complexity_input(
    messages: msgspec.Raw, tools: msgspec.Raw | None, max_output_tokens: int | None
) -> ComplexityInput:
    """Read a request's `messages` and `tools`, as they came. What has another shape than expected counts as empty."""
    try:
        decoded = _messages_decoder.decode(messages)
    except _MALFORMED:
        decoded = []
    text, turns, system_bytes = _NOTHING, 0, 0
    for message in decoded:
        if message.role == "user":
            text = message.content
            turns += 1
        elif message.role in _SYSTEM:
            system_bytes += memoryview(message.content).nbytes
    head, tail, text_bytes = _ends(_string(text))
    count, size = _tools(tools)
    return ComplexityInput(head, tail, text_bytes, system_bytes, count, size, max(turns, 1), max_output_tokens)


def _tools(tools: msgspec.Raw | None) -> tuple[int, int]:
    if tools is None:
        return 0, 0
    try:
        return len(_items_decoder.decode(tools)), memoryview(tools).nbytes
    except _MALFORMED:
        return 0, 0


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
    """Nothing half at the end: no escape, no character."""
    at = data.rfind(b"\\", len(data) - 2 * _MAX_ESCAPED)
    return data if at < 0 else data[:at]


def _cut_start(data: bytes) -> bytes:
    """Nothing half at the beginning: a space is never inside an escape or a character."""
    return data[data.find(b" ") + 1 :]


def _decoded(data: bytes) -> str:
    """The text of a piece of a JSON string; of one that is no such piece, its bytes as they are."""
    if b"\\" in data:
        try:
            return _text_decoder.decode(b'"' + data + b'"')
        except _MALFORMED:
            pass
    return data.decode("utf-8", "replace")
