"""A whole chat completion as a message."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.wire.answers import MalformedAnswer
from gateway.wire.messages.notes import ABSENT, MALFORMED, is_null, starts_with
from gateway.wire.messages.reasons import REFUSAL, stop_reason
from gateway.wire.messages.thoughts import MARK
from gateway.wire.messages.usage import ChatUsage, translated_usage
from routing.money import NanoUsd, format_usd

_encode = msgspec.json.encode


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = ABSENT


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: msgspec.Raw = ABSENT
    reasoning_content: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    tool_calls: list[_Call] | None = None
    thinking_blocks: list[msgspec.Raw] | None = None
    content_blocks: list[msgspec.Raw] | None = None
    citations: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    index: int = 0
    finish_reason: str | None = None
    native_finish_reason: Any = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    id: Any = None
    model: Any = None
    usage: ChatUsage | None = None
    service_tier: str | None = None


class _Part(msgspec.Struct):
    text: msgspec.Raw = ABSENT


_completion_decoder = msgspec.json.Decoder(_Completion)
_parts_decoder = msgspec.json.Decoder(list[_Part])
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def message_of(body: bytes, *, model: str, request_id: str, cost: NanoUsd | None = None) -> bytes:
    """The message that a chat completion is; its first answer, if it has several. Raises MalformedAnswer.

    `model` and `request_id` name what the completion does not; `cost` goes into its usage, in USD.
    """
    try:
        completion = _completion_decoder.decode(body)
    except MALFORMED as error:
        raise MalformedAnswer(str(error)) from None
    choice = min(completion.choices or (), key=lambda each: each.index, default=_Choice())
    said = choice.message or _Said()
    usage = translated_usage(completion.usage, completion.service_tier)
    if cost is not None:
        usage["cost"] = msgspec.Raw(format_usd(cost).encode())
    calls = [_tool_use(call, number, request_id) for number, call in enumerate(said.tool_calls or ())]
    filtered = choice.finish_reason == "content_filter"
    reason = stop_reason(
        choice.finish_reason,
        choice.native_finish_reason,
        calls=bool(calls),
        refused=has_text(said.refusal),
    )
    content: list[Any] = [*_thoughts(said), *_texts(said, filtered=filtered), *calls]
    message: dict[str, Any] = {
        "id": message_id(completion.id, request_id),
        "type": "message",
        "role": "assistant",
        "model": completion.model or model,
        "content": said.content_blocks or content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }
    if reason == REFUSAL:
        message["stop_details"] = refusal_details(said.refusal)
    return _encode(message)


def message_id(given: Any, request_id: str) -> str:
    """The id of a message: the provider's own where it is one of Anthropic's."""
    return given if isinstance(given, str) and given.startswith("msg_") else f"msg_{request_id}"


def call_id(given: str | None, number: int, request_id: str) -> str:
    """The id of a call: the provider's, as it must come back."""
    return given or f"toolu_{request_id}_{number}"


def refusal_details(refusal: msgspec.Raw) -> dict[str, Any]:
    """`stop_details` of an answer that was refused."""
    explanation = refusal if has_text(refusal) else None
    return {"type": "refusal", "category": None, "explanation": explanation}


def has_text(raw: msgspec.Raw) -> bool:
    """Whether a raw value is a string with anything in it."""
    return len(memoryview(raw)) > 2 and starts_with(raw, b'"')


def as_text(arguments: msgspec.Raw) -> bytes:
    """The arguments of a call as a JSON string; some servers send the object itself."""
    if is_null(arguments):
        return b'""'
    return bytes(arguments) if starts_with(arguments, b'"') else _encode(bytes(arguments).decode())


def _thoughts(said: _Said) -> list[Any]:
    if said.thinking_blocks:
        return list(said.thinking_blocks)
    thought = said.reasoning_content if has_text(said.reasoning_content) else said.reasoning
    return [{"type": "thinking", "thinking": thought, "signature": MARK}] if has_text(thought) else []


def _texts(said: _Said, *, filtered: bool) -> list[Any]:
    """The text. A refusal in the model's own words is one; why a filter has cut the answer is not."""
    text = _text_of(said.content)
    if not has_text(text) and not filtered:
        text = said.refusal
    if not has_text(text):
        return []
    return [{"type": "text", "text": text, **({"citations": said.citations} if said.citations else {})}]


def _text_of(content: msgspec.Raw) -> msgspec.Raw:
    """The content as one JSON string; some servers send parts."""
    if not starts_with(content, b"["):
        return content
    try:
        parts = _parts_decoder.decode(content)
    except MALFORMED:
        return ABSENT
    return msgspec.Raw(b'"' + b"".join(bytes(part.text)[1:-1] for part in parts if has_text(part.text)) + b'"')


def _tool_use(call: _Call, number: int, request_id: str) -> dict[str, Any]:
    function = call.function or _Function()
    return {
        "type": "tool_use",
        "id": call_id(call.id, number, request_id),
        "name": function.name or "",
        "input": _input(as_text(function.arguments)),
    }


def _input(text: bytes) -> msgspec.Raw:
    """The arguments as an object. What a model wrote that is none is passed on as it stands, under a name."""
    try:
        arguments = msgspec.json.decode(text, type=str).strip()
        if not arguments or arguments == "null":
            return msgspec.Raw(b"{}")
        _object_decoder.decode(arguments)
    except MALFORMED:
        return msgspec.Raw(b'{"arguments":' + text + b"}")
    return msgspec.Raw(arguments.encode())
