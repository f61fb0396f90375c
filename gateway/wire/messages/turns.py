"""The conversation: Anthropic's turns become chat messages.

Results of tools, which Anthropic has inside of the user's turn, become messages of their own before what else the turn
says. Thoughts with their signatures, and answers whose order a chat message cannot tell, are kept beside it in the
fields that Farebox's own Anthropic dialect gives and takes: `thinking_blocks`, `content_blocks`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.messages.blocks import RETURNABLE, is_plain
from gateway.wire.messages.content import blocks_in, marked, parts_of, string
from gateway.wire.messages.notes import ABSENT, MALFORMED, Notes, is_null, misshapen, missing, starts_with, wrong
from gateway.wire.messages.thoughts import MARK_JSON

_encode = msgspec.json.encode
_UNSIGNED: Final = (b"", b"null", b'""', MARK_JSON)


class _Turn(msgspec.Struct):
    role: str
    content: msgspec.Raw


class _Said(msgspec.Struct):
    """A block of an answer, or a tool's result."""

    type: str
    text: msgspec.Raw = ABSENT
    thinking: msgspec.Raw = ABSENT
    signature: msgspec.Raw = ABSENT
    id: msgspec.Raw = ABSENT
    name: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    tool_use_id: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    is_error: msgspec.Raw = ABSENT
    cache_control: msgspec.Raw = ABSENT
    citations: msgspec.Raw = ABSENT


_turns_decoder = msgspec.json.Decoder(list[_Turn])
_said_decoder = msgspec.json.Decoder(_Said)


def read_turns(messages: msgspec.Raw, notes: Notes) -> list[bytes]:
    """The chat messages of `messages`. Raises BadRequest errors that name the field."""
    try:
        turns = _turns_decoder.decode(messages)
    except MALFORMED as error:
        raise misshapen("messages", error) from None
    if not turns:
        raise wrong("messages", "must hold at least one message")
    out: list[bytes] = []
    for index, turn in enumerate(turns):
        field = f"messages.{index}"
        if turn.role == "user":
            out += _user(turn.content, f"{field}.content", notes)
        elif turn.role == "assistant":
            out += _assistant(turn.content, f"{field}.content", notes)
        elif turn.role == "system":
            out += system_messages(turn.content, f"{field}.content", notes)
        else:
            raise wrong(f"{field}.role", "must be `user`, `assistant` or `system`")
    return out


def system_messages(content: msgspec.Raw, field: str, notes: Notes) -> list[bytes]:
    """A system prompt as a message; none when it is empty."""
    if starts_with(content, b'"'):
        return [_message(b"system", bytes(content))] if len(memoryview(content)) > 2 else []
    parts = [part for place, raw in _placed(content, field) for part in parts_of(raw, place, notes)]
    return [_message(b"system", _list(parts))] if parts else []


def _placed(content: msgspec.Raw, field: str) -> list[tuple[str, msgspec.Raw]]:
    return [(f"{field}.{index}", raw) for index, raw in enumerate(blocks_in(content, field))]


def _message(role: bytes, content: bytes) -> bytes:
    return b'{"role":"' + role + b'","content":' + content + b"}"


def _list(parts: list[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def _said(raw: msgspec.Raw, place: str) -> _Said:
    try:
        return _said_decoder.decode(raw)
    except MALFORMED as error:
        raise misshapen(place, error) from None


# --- the user's side ---


def _user(content: msgspec.Raw, field: str, notes: Notes) -> list[bytes]:
    if starts_with(content, b'"'):
        return [_message(b"user", bytes(content))]
    results: list[bytes] = []
    parts: list[bytes] = []
    for place, raw in _placed(content, field):
        if b"tool_result" in bytes(raw) and (block := _said(raw, place)).type == "tool_result":
            results.append(_result(block, place, notes))
        else:
            parts += parts_of(raw, place, notes)
    if parts or not results:
        results.append(_message(b"user", _list(parts) if parts else b'""'))
    return results


def _result(block: _Said, field: str, notes: Notes) -> bytes:
    """A tool's result as a message. What it says of an error OpenAI has no word for: it is kept beside it."""
    call = string(block.tool_use_id, f"{field}.tool_use_id")
    content = block.content
    if is_null(content):
        said = b'""'
    elif starts_with(content, b'"'):
        said = bytes(content)
    else:
        place = f"{field}.content"
        parts = [part for inner, raw in _placed(content, place) for part in parts_of(raw, inner, notes)]
        said = _list(parts) if parts else b'""'
    error = b',"is_error":true' if bytes(block.is_error) == b"true" else b""
    message = b'{"role":"tool","tool_call_id":' + call + b',"content":' + said + error + b"}"
    return marked(message, block.cache_control)


# --- the model's side ---


class _Answer:
    """An answer of the model, as it is put together."""

    __slots__ = ("_notes", "calls", "given", "kinds", "parts", "reasoning", "thoughts")

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.kinds: list[str] = []
        self.given: list[msgspec.Raw] = []
        """The blocks that can be given back, as they came: all but thoughts that nobody has signed."""
        self.parts: list[bytes] = []
        self.thoughts: list[msgspec.Raw] = []
        self.reasoning: list[bytes] = []
        """Unsigned thoughts: the insides of JSON strings."""
        self.calls: list[bytes] = []

    def add(self, raw: msgspec.Raw, field: str) -> None:
        """Take the next block."""
        block = _said(raw, field)
        kind = block.type
        if kind == "thinking" and bytes(block.signature) in _UNSIGNED:
            self._unsigned(block, field)
            return
        self.kinds.append(kind)
        self.given.append(raw)
        if kind == "text":
            string(block.text, f"{field}.text")
            self.parts.append(bytes(raw))
        elif kind == "tool_use":
            self.calls.append(_call(block, field))
        elif kind in {"thinking", "redacted_thinking"}:
            self.thoughts.append(raw)
        elif kind not in RETURNABLE:
            self._notes.refuse(field, f"it is a block of the type {kind[:64]!r}, which only Anthropic's own API knows.")
            self._notes.brings_in(field)

    def _unsigned(self, block: _Said, field: str) -> None:
        text = string(block.thinking, f"{field}.thinking")
        if bytes(block.signature) == MARK_JSON:
            self._notes.signed_here = True
        if len(text) > 2:
            self.reasoning.append(text[1:-1])

    def json(self) -> bytes:
        """The chat message."""
        message: dict[str, Any] = {"role": "assistant", "content": self._content()}
        if self.reasoning:
            message["reasoning_content"] = msgspec.Raw(b'"' + b"\\n\\n".join(self.reasoning) + b'"')
        if self.thoughts:
            message["thinking_blocks"] = self.thoughts
        if self.calls:
            message["tool_calls"] = [msgspec.Raw(call) for call in self.calls]
        if not is_plain(self.kinds) and RETURNABLE.issuperset(self.kinds):
            message["content_blocks"] = self.given
        return _encode(message)

    def _content(self) -> msgspec.Raw | None:
        parts = self.parts
        if not parts:
            return None if self.calls or self.thoughts or self.reasoning else msgspec.Raw(b'""')
        if len(parts) == 1 and b"cache_control" not in parts[0] and b"citations" not in parts[0]:
            return _said_decoder.decode(parts[0]).text
        return msgspec.Raw(_list(parts))


def _call(block: _Said, field: str) -> bytes:
    call_id, name = string(block.id, f"{field}.id"), string(block.name, f"{field}.name")
    if is_null(block.input):
        raise missing(f"{field}.input")
    if not starts_with(block.input, b"{"):
        raise wrong(f"{field}.input", "must be an object")
    given = bytes(block.input)
    arguments = _encode((msgspec.json.format(given, indent=-1) if b"\n" in given else given).decode())
    call = b'{"id":%b,"type":"function","function":{"name":%b,"arguments":%b}}' % (call_id, name, arguments)
    return marked(call, block.cache_control)


def _assistant(content: msgspec.Raw, field: str, notes: Notes) -> list[bytes]:
    if starts_with(content, b'"'):
        return [_message(b"assistant", bytes(content))]
    answer = _Answer(notes)
    for place, raw in _placed(content, field):
        answer.add(raw, place)
    return [answer.json()]
