"""A whole response as a chat completion: for the checks of a policy, which know chat's words only."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.answers import MalformedAnswer
from gateway.wire.responses.answers import CUT, items_of_output
from gateway.wire.responses.envelope import opened
from gateway.wire.responses.raw import ABSENT, MALFORMED, encode, is_null, read_list
from gateway.wire.responses.usage import as_chat as usage_as_chat

_JOINED: Final = b"\\n\\n"


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = msgspec.Raw(b'""')
    refusal: msgspec.Raw = msgspec.Raw(b'""')


class _Item(msgspec.Struct):
    type: str = ""
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: msgspec.Raw = ABSENT
    arguments: msgspec.Raw = msgspec.Raw(b'""')
    input: msgspec.Raw = msgspec.Raw(b'""')


class _Details(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    output: msgspec.Raw
    id: msgspec.Raw = msgspec.Raw(b'""')
    model: msgspec.Raw = msgspec.Raw(b'""')
    created_at: msgspec.Raw = msgspec.Raw(b"0")
    usage: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    incomplete_details: _Details | None = None


_response_decoder = msgspec.json.Decoder(_Response)
_item_decoder = msgspec.json.Decoder(_Item)


class _Said:
    """What the items say, put together to one message."""

    __slots__ = ("calls", "kept", "refusals", "texts", "thoughts")

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.refusals: list[bytes] = []
        self.thoughts: list[bytes] = []
        self.calls: list[dict[str, Any]] = []
        self.kept: dict[str, list[msgspec.Raw]] = {}

    def add(self, raw: msgspec.Raw) -> None:
        item = _item_decoder.decode(raw)
        if item.type == "message":
            texts = [bytes(part.text)[1:-1] for part in item.content or () if part.type == "output_text"]
            if texts:
                self.texts.append(b"".join(texts))
            self.refusals += [bytes(part.refusal)[1:-1] for part in item.content or () if part.type == "refusal"]
        elif item.type == "reasoning":
            self.thoughts += [bytes(part.text)[1:-1] for part in (*(item.summary or ()), *(item.content or ()))]
            for name, blocks in opened(item.encrypted_content or "").items():
                self.kept[name] = [*self.kept.get(name, ()), *read_list(blocks)]
        elif item.type == "function_call":
            function = {"name": item.name, "arguments": item.arguments}
            self.calls.append({"id": item.call_id, "type": "function", "function": function})
        elif item.type == "custom_tool_call":
            custom = {"name": item.name, "input": item.input}
            self.calls.append({"id": item.call_id, "type": "custom", "custom": custom})

    def message(self) -> dict[str, Any]:
        content = msgspec.Raw(b'"' + _JOINED.join(self.texts) + b'"') if self.texts else None
        refusal = msgspec.Raw(b'"' + b"".join(self.refusals) + b'"') if self.refusals else None
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
        if self.thoughts:
            message["reasoning_content"] = msgspec.Raw(b'"' + _JOINED.join(self.thoughts) + b'"')
        message |= self.kept
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def as_chat(body: bytes) -> bytes:
    """The chat completion that a response is. Raises MalformedAnswer."""
    said = _Said()
    try:
        response = _response_decoder.decode(body)
        for raw in items_of_output(response.output):
            said.add(raw)
    except MALFORMED as error:
        raise MalformedAnswer(str(error)) from None
    reason = response.incomplete_details.reason if response.incomplete_details is not None else None
    ended = {CUT: "length", "content_filter": "content_filter"}.get(
        reason or "", "tool_calls" if said.calls else "stop"
    )
    choice = {"index": 0, "message": said.message(), "logprobs": None, "finish_reason": ended}
    out: dict[str, Any] = {
        "id": response.id,
        "object": "chat.completion",
        "created": response.created_at,
        "model": response.model,
        "choices": [choice],
    }
    usage = usage_as_chat(response.usage)
    if usage is not None:
        out["usage"] = usage
    if not is_null(response.service_tier):
        out["service_tier"] = response.service_tier
    return encode(out)
