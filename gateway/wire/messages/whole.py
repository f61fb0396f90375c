"""Whole messages, as Anthropic gives them: what is read of one, and what it is as a chat completion."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec

from gateway.wire.answers import MalformedAnswer, WholeAnswer
from gateway.wire.messages.notes import ABSENT, MALFORMED, is_null, starts_with
from gateway.wire.messages.reasons import finish_reason
from gateway.wire.messages.usage import AnthropicUsage, money_usage, openai_usage, service_tier_of, services_of

_encode = msgspec.json.encode
_SHOWN: Final = b"..."


class _Block(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = ABSENT
    name: str = ""


class _Message(msgspec.Struct):
    content: msgspec.Raw = ABSENT
    stop_reason: str | None = None
    usage: AnthropicUsage | None = None
    error: msgspec.Raw = ABSENT


class _Details(msgspec.Struct):
    explanation: str | None = None


class _Call(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = ABSENT
    id: msgspec.Raw = msgspec.Raw(b'""')
    name: msgspec.Raw = msgspec.Raw(b'""')
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Full(msgspec.Struct):
    content: list[_Call]
    id: Any = ""
    model: Any = ""
    stop_reason: str | None = None
    stop_details: _Details | None = None
    usage: AnthropicUsage | None = None


_message_decoder = msgspec.json.Decoder(_Message)
_blocks_decoder = msgspec.json.Decoder(list[_Block])
_full_decoder = msgspec.json.Decoder(_Full)


def read_message(body: bytes) -> WholeAnswer:
    """Read a whole message. Raises MalformedAnswer when it is none.

    Its `choices` are no more than what is asked of them: whether there is text, whether tools are called, and why it
    stopped, as a chat answer would say it.
    """
    try:
        message = _message_decoder.decode(body)
        failed = not is_null(message.error) and is_null(message.content)
        if not failed and not starts_with(message.content, b"["):
            raise MalformedAnswer("it has no content")
        blocks = [] if failed else _blocks_decoder.decode(message.content)
    except MALFORMED as error:
        raise MalformedAnswer(str(error)) from None
    usage = message.usage
    return WholeAnswer(
        money_usage(usage),
        None if usage is None else service_tier_of(usage),
        len(memoryview(message.content)),
        failed,
        _choices(blocks, message.stop_reason),
        services=_called(blocks) if usage is None else services_of(usage),
    )


def _called(blocks: list[_Block]) -> dict[str, int]:
    """What Anthropic ran for a message that does not tell its usage, by its blocks."""
    return Counter(block.name for block in blocks if block.type == "server_tool_use")


def _choices(blocks: list[_Block], stop_reason: str | None) -> msgspec.Raw:
    calls = any(block.type == "tool_use" for block in blocks)
    text = any(block.type == "text" and len(memoryview(block.text)) > 2 for block in blocks)
    said: dict[str, Any] = {"content": _SHOWN.decode() if text else None}
    if calls:
        said["tool_calls"] = [{"type": "function"}]
    return msgspec.Raw(_encode([{"message": said, "finish_reason": finish_reason(stop_reason, calls=calls)}]))


def as_chat(body: bytes) -> bytes:
    """A whole message as a chat completion: its text, its calls, why it stopped, its usage. Raises MalformedAnswer."""
    try:
        message = _full_decoder.decode(body)
    except MALFORMED as error:
        raise MalformedAnswer(str(error)) from None
    texts = [bytes(block.text)[1:-1] for block in message.content if block.type == "text"]
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": bytes(call.input).decode()}}
        for call in message.content
        if call.type == "tool_use"
    ]
    refused = message.stop_details if message.stop_reason == "refusal" else None
    said: dict[str, Any] = {
        "role": "assistant",
        "content": msgspec.Raw(b'"' + b"".join(texts) + b'"') if texts else None,
        "refusal": None if refused is None else refused.explanation,
    }
    if calls:
        said["tool_calls"] = calls
    reason = finish_reason(message.stop_reason, calls=bool(calls))
    out = {
        "id": message.id,
        "object": "chat.completion",
        "model": message.model,
        "choices": [{"index": 0, "message": said, "finish_reason": reason}],
    }
    if message.usage is not None:
        out["usage"] = openai_usage(message.usage)
    return _encode(out)
