"""The latest tool calls of a chat request, with what came of them. Pure.

Only the end of a history is looked at: `TAIL_BYTES` of it, and no more calls than asked for. What cannot be read is
left out: its shape is for the provider to judge.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

TAIL_BYTES: Final = 131_072
"""How much of a history is looked at."""
MAX_ARGUMENTS_BYTES: Final = 16_384
"""Longer arguments (a file's whole text, say) are compared as they are written."""

_CALLS = (b'"tool_calls"', b'"function_call"')
_STARTS = (b'{"role":', b'{"role" :', b'{ "role":')
"""How a message begins. Quotes inside of strings are escaped, so this never stands in a text."""
_NESTED = 4
"""So many of them may turn out to begin something inside of a message."""


class Step(NamedTuple):
    """A tool call and its result, or words of the user (then `tool` is empty and the words are the result)."""

    tool: str
    arguments: bytes
    """As canonical JSON: keys sorted, no spaces."""
    result: bytes
    """The JSON of the result's content."""
    turn: int
    """The index of its message: calls made side by side share it."""


class _Function(msgspec.Struct):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"")


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")
    name: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None
    tool_call_id: str | None = None


_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_messages = msgspec.json.Decoder(list[msgspec.Raw])
_message = msgspec.json.Decoder(_Message)
_text = msgspec.json.Decoder(str)
_value = msgspec.json.Decoder()
_canonical = msgspec.json.Encoder(order="sorted")


def may_have_calls(body: bytes) -> bool:
    """Whether a request may have called tools; one without their names in its body has not. Under a microsecond."""
    if body.find(b"_call") < 0:  # one search of a usual body, not two
        return False
    return _CALLS[0] in body or _CALLS[1] in body


class History:
    """The end of a request's messages, split but not yet read."""

    __slots__ = ("_first", "_messages")

    def __init__(self, messages: list[msgspec.Raw], first: int) -> None:
        self._messages = messages
        self._first = first
        """The first one's index in the whole history."""

    @classmethod
    def of(cls, messages: msgspec.Raw, count: int) -> History | None:
        """The end of `messages`, `count` in all; None when no tool was called there.

        Costs a microsecond for an ordinary request without tools, and a hundred at most for any other.
        """
        tail = bytes(memoryview(messages)[-TAIL_BYTES:])
        if not may_have_calls(tail):
            return None
        split = _split(tail) if len(messages) <= TAIL_BYTES else _split_tail(tail)
        if split is None:
            split = _split(bytes(messages))
        return None if split is None else cls(split, count - len(split))

    def steps(self, calls: int, since: int = 0) -> list[Step]:
        """The last `calls` tool calls in order, and what users said between them; none from before message `since`."""
        found: list[Step] = []
        results: dict[str, bytes] = {}
        for index in range(len(self._messages) - 1, -1, -1):
            turn = self._first + index
            if turn < since or calls <= 0:
                break
            try:
                message = _message.decode(self._messages[index])
            except _BAD:
                continue
            if message.role in ("tool", "function"):
                results.setdefault(message.tool_call_id or message.name or "", bytes(message.content))
            elif message.role == "user":
                found.append(Step("", b"", bytes(message.content), turn))
            elif message.role == "assistant":
                made = _made(message, results, turn)
                found += reversed(made[-calls:])
                calls -= len(made)
                results = {}
        found.reverse()
        return found


def _split(messages: bytes) -> list[msgspec.Raw] | None:
    try:
        return _messages.decode(messages)
    except _BAD:
        return None


def _split_tail(tail: bytes) -> list[msgspec.Raw] | None:
    """The whole messages at the end of a long history; None when their beginnings cannot be told."""
    spelling = next((start for start in _STARTS if start in tail), _STARTS[0])
    start = -1
    for _ in range(_NESTED):
        start = tail.find(spelling, start + 1)
        if start < 0:
            return None
        split = _split(b"[" + tail[start:])
        if split is not None:
            return split
    return None


def _made(message: _Message, results: dict[str, bytes], turn: int) -> list[Step]:
    """The calls of an assistant's message that were answered."""
    calls = [(call.id, call.function) for call in message.tool_calls or ()]
    if message.function_call is not None:
        calls.append((message.function_call.name, message.function_call))
    made = []
    for name, function in calls:
        result = results.get(name or "")
        if function is not None and result is not None:
            made.append(Step(function.name, _arguments(function.arguments), result, turn))
    return made


def _arguments(raw: msgspec.Raw) -> bytes:
    """Canonical arguments: they come as a string that holds JSON, from some as the JSON itself."""
    written = bytes(raw)
    if len(written) > MAX_ARGUMENTS_BYTES:
        return written
    try:
        inner = _text.decode(written).encode() if written[:1] == b'"' else written
        return _canonical.encode(_value.decode(inner)) if inner.strip() else b""
    except _BAD:
        return written
