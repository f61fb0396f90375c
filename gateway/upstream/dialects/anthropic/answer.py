"""A whole message as a chat completion.

What OpenAI has no words for is kept beside it: thinking as `reasoning_content`, and with its signatures as
`thinking_blocks`, which the next request sends back; `citations`; Anthropic's reason to stop as `native_finish_reason`;
and where that would not do `content_blocks` (see `blocks`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.upstream.dialects.anthropic.content import NULL
from gateway.upstream.dialects.anthropic.errors import as_openai, read_error
from gateway.upstream.dialects.anthropic.tools import JSON_TOOL_NAME
from gateway.wire.answers import MalformedAnswer
from gateway.wire.messages.blocks import THOUGHTS, is_plain, read_block
from gateway.wire.messages.reasons import finish_reason
from gateway.wire.messages.usage import AnthropicUsage, openai_usage, service_tier_of

_encode = msgspec.json.encode
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_SAID: Final = frozenset(
    ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage")
)


class StopDetails(msgspec.Struct):
    """Why the answer was stopped."""

    explanation: str | None = None


class _Message(msgspec.Struct):
    content: list[msgspec.Raw]
    id: msgspec.Raw = msgspec.Raw(b'""')
    model: msgspec.Raw = msgspec.Raw(b'""')
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: AnthropicUsage | None = None


_message_decoder = msgspec.json.Decoder(_Message)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def as_text(raw: msgspec.Raw) -> bytes:
    """A JSON string whose text is the JSON value: arguments of calls are texts on OpenAI's wire."""
    return _encode(bytes(raw).decode())


class _Said:
    """What the blocks of one message say, put together."""

    __slots__ = ("_json_tool", "calls", "citations", "kinds", "texts", "thinking_blocks", "thoughts")

    def __init__(self, *, json_tool: bool) -> None:
        self._json_tool = json_tool
        self.kinds: list[str] = []
        self.texts: list[bytes] = []
        self.thoughts: list[bytes] = []
        self.thinking_blocks: list[msgspec.Raw] = []
        self.citations: list[msgspec.Raw] = []
        self.calls: list[dict[str, Any]] = []

    def add(self, raw: msgspec.Raw) -> None:
        block = read_block(raw)
        self.kinds.append(block.type)
        if block.type == "text":
            self.texts.append(bytes(block.text)[1:-1])
            if bytes(memoryview(block.citations)[:1]) == b"[":
                self.citations += _list_decoder.decode(block.citations)
        elif block.type == "tool_use":
            if self._json_tool and bytes(block.name) == JSON_TOOL_NAME:
                self.texts.append(as_text(block.input)[1:-1])
                return
            function = {"name": block.name, "arguments": msgspec.Raw(as_text(block.input))}
            self.calls.append({"id": block.id, "type": "function", "function": function})
        elif block.type in THOUGHTS:
            self.thinking_blocks.append(raw)
            if len(memoryview(block.thinking)) > 2:
                self.thoughts.append(bytes(block.thinking)[1:-1])

    def message(self) -> dict[str, Any]:
        """The chat message. Texts are joined as they are written, escapes and all."""
        text = msgspec.Raw(b'"' + b"".join(self.texts) + b'"') if self.texts else None
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if self.thoughts:
            message["reasoning_content"] = msgspec.Raw(b'"' + b"\\n\\n".join(self.thoughts) + b'"')
        if self.thinking_blocks:
            message["thinking_blocks"] = self.thinking_blocks
        if self.citations:
            message["citations"] = self.citations
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def whole_answer(body: bytes, created_s: int, *, json_tool: bool) -> bytes:
    """The chat completion of a message. Raises MalformedAnswer."""
    said = _Said(json_tool=json_tool)
    try:
        answer = _message_decoder.decode(body)
        for raw in answer.content:
            said.add(raw)
    except _MALFORMED as error:
        failure = read_error(body)
        if failure is not None:  # under a status of success
            return as_openai(failure)
        raise MalformedAnswer(str(error)) from None
    message = said.message()
    if not is_plain(said.kinds) and not json_tool:
        message["content_blocks"] = answer.content
    if answer.stop_reason == "refusal" and answer.stop_details is not None:
        message["refusal"] = answer.stop_details.explanation
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason(answer.stop_reason, calls=bool(said.calls)),
        "native_finish_reason": answer.stop_reason,
    }
    out: dict[str, Any] = {
        "id": answer.id,
        "object": "chat.completion",
        "created": created_s,
        "model": answer.model,
        "choices": [choice],
    }
    if answer.usage is not None:
        out["usage"] = openai_usage(answer.usage)
        tier = service_tier_of(answer.usage)
        if tier is not None:
            out["service_tier"] = tier
    for name, value in _fields_decoder.decode(body).items():
        if name not in _SAID and bytes(value) not in NULL:
            out.setdefault(name, value)
    return _encode(out)
