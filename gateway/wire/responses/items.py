"""Input items as the messages of a chat.

What one side says in several items (thoughts, a text, calls) is one message there: calls have to stand in the message
that their results follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from gateway.errors import InvalidField
from gateway.wire.responses.content import content_of, parts_of
from gateway.wire.responses.envelope import opened_raw
from gateway.wire.responses.raw import (
    ABSENT,
    MALFORMED,
    Fields,
    first,
    given,
    is_null,
    object_of,
    objects_of,
    raw_string,
    read_list,
    string_of,
)
from gateway.wire.responses.reading import Reading
from gateway.wire.responses.tools import wrapped

_ROLES: Final = frozenset(("user", "assistant", "system", "developer"))
WORKINGS: Final = frozenset(
    ("web_search_call", "file_search_call", "code_interpreter_call", "mcp_list_tools", "tool_search_call")
)
"""What a provider did on its way to an answer. The answer says what came of it: elsewhere these are left out."""
_NEED_NO_CONTENT: Final = frozenset(("tool_calls", "refusal"))
_EMPTY: Final = 2
"""Bytes of a list with nothing in it."""
_JOINED: Final = b"\\n\\n"


class Messages:
    """The messages of a chat, as they are put together."""

    __slots__ = ("_answer", "_reading", "messages")

    def __init__(self, reading: Reading) -> None:
        self.messages: list[dict[str, Any]] = []
        self._reading = reading
        self._answer: dict[str, Any] | None = None
        """The assistant's message that is not over yet."""

    def say(self, role: str, content: msgspec.Raw | list[dict[str, Any]]) -> None:
        """A message of the client's side."""
        self._answer = None
        self.messages.append({"role": role, "content": content})

    def add(self, item: Fields, field: str) -> None:
        """An item of the input, which `field` names, without nulls. Raises InvalidField."""
        read = _WRITTEN.get(bytes(item.get("type", b"")))
        if read is not None:  # the usual item
            read(self, item, field)
            return
        kind = string_of(item, "type", field, _kind(item))
        read = _READERS.get(kind)
        if read is not None:
            read(self, item, field)
        elif kind not in WORKINGS:
            self._reading.unsized(field)
            self._reading.refuse(
                f"{field}.type", f"`{field}.type` is {kind[:32]!r}, which this model has no words for."
            )

    def _answering(self) -> dict[str, Any]:
        """The assistant's message that goes on, or a new one."""
        if self._answer is None:
            self._answer = {"role": "assistant", "content": None}
            self.messages.append(self._answer)
        return self._answer

    def _message(self, item: Fields, field: str) -> None:
        role = string_of(item, "role", field)
        if role not in _ROLES:
            raise InvalidField(
                f"`{field}.role` must be one of user, assistant, system, developer.", param=f"{field}.role"
            )
        if role == "assistant":
            self._said(item, field)
        else:
            self.say(role, content_of(item.get("content"), f"{field}.content", self._reading))

    def _said(self, item: Fields, field: str) -> None:
        """A text, or a refusal, of an earlier answer."""
        content = item.get("content")
        if content is None:
            raise InvalidField(f"Missing required parameter: `{field}.content`.", param=f"{field}.content")
        texts: list[msgspec.Raw] = []
        refusals: list[msgspec.Raw] = []
        others = False
        if first(content) == b'"':
            texts.append(content)
        else:
            for part in parts_of(content, f"{field}.content", self._reading):
                if part["type"] == "text":
                    texts.append(part["text"])
                elif part["type"] == "refusal":
                    refusals.append(part["refusal"])
                else:
                    others = True
        if others:
            param = f"{field}.content"
            raise InvalidField(f"`{param}`: an assistant's message has `output_text` and `refusal` only.", param=param)
        message = self._answer
        if message is None or (message["content"] is not None and "tool_calls" not in message):
            self._answer = None
            message = self._answering()
        if texts or not refusals:
            said = b"".join(bytes(text)[1:-1] for text in texts)
            before = message["content"]
            said = said if before is None else bytes(before)[1:-1] + _JOINED + said
            message["content"] = msgspec.Raw(b'"' + said + b'"')
        if refusals:
            message["refusal"] = msgspec.Raw(b'"' + b"".join(bytes(each)[1:-1] for each in refusals) + b'"')

    def _reasoning(self, item: Fields, field: str) -> None:
        """What was thought: as text where it can be read, and as its provider wants it back where that was ours."""
        thoughts = [*_texts(item, "summary", field), *_texts(item, "content", field)]
        kept = opened_raw(item.get("encrypted_content"))
        if not thoughts and not kept:
            return
        if "content_blocks" in kept:
            self._gather()
        message = self._answer
        if message is None or (thoughts and (message["content"] is not None or "tool_calls" in message)):
            self._answer = None
            message = self._answering()
        if thoughts:
            before = [bytes(message["reasoning_content"])[1:-1]] if "reasoning_content" in message else []
            message["reasoning_content"] = msgspec.Raw(b'"' + _JOINED.join([*before, *thoughts]) + b'"')
        for name, blocks in kept.items():
            _extend(message, name, blocks)

    def _gather(self) -> None:
        """All that was answered is one message: its blocks say it from the beginning."""
        parts: list[dict[str, Any]] = []
        while self.messages and self.messages[-1]["role"] == "assistant":
            parts.insert(0, self.messages.pop())
        if not parts:
            return
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for name, between in (("content", _JOINED), ("refusal", b""), ("reasoning_content", _JOINED)):
            texts = [bytes(part[name])[1:-1] for part in parts if part.get(name) is not None]
            if texts:
                message[name] = msgspec.Raw(b'"' + between.join(texts) + b'"')
        for name in ("tool_calls", "thinking_blocks"):
            if found := [each for part in parts for each in part.get(name, ())]:
                message[name] = found
        self._answer = message
        self.messages.append(message)

    def _function_call(self, item: Fields, field: str) -> None:
        function = {"name": raw_string(item, "name", field), "arguments": raw_string(item, "arguments", field)}
        self._call({"id": raw_string(item, "call_id", field), "type": "function", "function": function})

    def _custom_call(self, item: Fields, field: str) -> None:
        arguments = wrapped(string_of(item, "input", field))
        function = {"name": string_of(item, "name", field), "arguments": arguments}
        self._call({"id": string_of(item, "call_id", field), "type": "function", "function": function})

    def _call(self, call: dict[str, Any]) -> None:
        self._answering().setdefault("tool_calls", []).append(call)

    def _result(self, item: Fields, field: str) -> None:
        self._answer = None
        call_id = raw_string(item, "call_id", field)
        content = content_of(item.get("output"), f"{field}.output", self._reading)
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def _reference(self, item: Fields, field: str) -> None:
        item_id = string_of(item, "id", field)
        self._reading.references.append(item_id)
        self._reading.unsized(field)
        self._reading.refuse(f"{field}.id", f"`{field}` refers to the item {item_id[:64]!r}, which is not known here.")


def _kind(item: Fields) -> str | None:
    """What an item without a type is, if it can be told."""
    return "message" if "role" in item else "item_reference" if "id" in item else None


_READERS: Final[dict[str, Callable[[Messages, Fields, str], None]]] = {
    "message": Messages._message,
    "reasoning": Messages._reasoning,
    "function_call": Messages._function_call,
    "function_call_output": Messages._result,
    "custom_tool_call": Messages._custom_call,
    "custom_tool_call_output": Messages._result,
    "item_reference": Messages._reference,
}


_WRITTEN: Final = {f'"{kind}"'.encode(): read for kind, read in _READERS.items()}


def read_items(fields: Fields, history: Iterable[msgspec.Raw], reading: Reading) -> list[dict[str, Any]]:
    """The messages of a request: its instructions, what was said before, its own input. Raises InvalidField."""
    messages = Messages(reading)
    if not is_null(fields.get("instructions")):
        instructions = fields["instructions"]
        if first(instructions) != b'"':
            raise InvalidField("`instructions` must be a string.", param="instructions")
        messages.say("system", instructions)
    for index, raw in enumerate(history):
        messages.add(given(object_of(raw, f"history[{index}]")), f"history[{index}]")
    given_input = fields.get("input", ABSENT)
    if first(given_input) == b'"':
        messages.say("user", given_input)
    elif not is_null(given_input):
        for index, item in enumerate(objects_of(given_input, "input", "a string or a list of items")):
            messages.add(item, f"input[{index}]")
    for message in messages.messages:
        if message["content"] is None and _NEED_NO_CONTENT.isdisjoint(message):
            message["content"] = ""  # thoughts alone
    return messages.messages


def items_of(given_input: msgspec.Raw) -> list[msgspec.Raw]:
    """The items of `input`, a list. Raises InvalidField."""
    try:
        return read_list(given_input)
    except MALFORMED:
        raise InvalidField("`input` must be a string or a list of items.", param="input") from None


def _texts(item: Fields, name: str, field: str) -> list[bytes]:
    """The insides of the texts in a list of parts."""
    raw = item.get(name)
    if raw is None or len(memoryview(raw)) == _EMPTY:
        return []
    parts = parts_of(raw, f"{field}.{name}", Reading())
    return [bytes(part["text"])[1:-1] for part in parts if part["type"] == "text" and bytes(part["text"]) != b'""']


def _extend(message: dict[str, Any], name: str, blocks: msgspec.Raw) -> None:
    try:
        found = read_list(blocks)
    except MALFORMED:
        return
    if found:
        message[name] = [*message.get(name, ()), *found]
