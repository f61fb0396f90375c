"""A stream of Anthropic's events as OpenAI's chunks, one by one as they come.

message_start          the chunk with the role
content_block_start    a tool call's chunk with its name; else nothing yet
content_block_delta    text, arguments, thinking, citations: a chunk each
content_block_stop     a thinking block, whole with its signature
message_delta          the chunk with the finish reason, then the chunk with usage
message_stop           [DONE]
error                  an event with `error`; nothing after it
ping and unknown ones  nothing
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.upstream.dialects.anthropic.answer import Block, StopDetails, as_text, finish_reason
from gateway.upstream.dialects.anthropic.content import NULL
from gateway.upstream.dialects.anthropic.errors import ErrorBody, as_openai
from gateway.upstream.dialects.anthropic.tools import JSON_TOOL_NAME
from gateway.upstream.dialects.anthropic.usage import AnthropicUsage, openai_usage, service_tier_of
from gateway.wire.sse import EventSplitter, data_event, event_data

_encode = msgspec.json.encode
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ABSENT: Final = msgspec.Raw(b"")
_DONE: Final = b"data: [DONE]\n\n"
_END: Final = b',"finish_reason":null}]}\n\n'
_UNREADABLE: Final = ErrorBody("api_error", "The provider sent an event that cannot be read.")


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: AnthropicUsage | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = _ABSENT
    partial_json: msgspec.Raw = _ABSENT
    thinking: msgspec.Raw = _ABSENT
    signature: msgspec.Raw = _ABSENT
    citation: msgspec.Raw = _ABSENT
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: msgspec.Raw = _ABSENT
    message: _Message | None = None
    usage: AnthropicUsage | None = None
    error: ErrorBody | None = None


_event_decoder = msgspec.json.Decoder(_Event)
_block_decoder = msgspec.json.Decoder(Block)


class _Open:
    """A content block that has begun and not ended."""

    __slots__ = ("block", "call", "raw", "said", "signature", "thoughts")

    def __init__(self, raw: msgspec.Raw, block: Block, call: int | None) -> None:
        self.raw = raw
        self.block = block
        self.call = call
        """The index of the tool call; None for the call that stands in for JSON."""
        self.said = False
        """Whether any of a call's arguments came."""
        self.thoughts: list[bytes] = []
        self.signature = b""


class Stream:
    """Translates one stream."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_created_s",
        "_ended",
        "_json_tool",
        "_model",
        "_prefix",
        "_reported",
        "_splitter",
        "_usage",
    )

    def __init__(self, model: str, created_s: int, *, json_tool: bool) -> None:
        """`model` is the name for a stream that names none; `json_tool` as in `tools`."""
        self._splitter = EventSplitter()
        self._json_tool = json_tool
        self._created_s = created_s
        self._model = model
        self._prefix = self._begin("", model)
        self._usage: AnthropicUsage | None = None
        self._reported: AnthropicUsage | None = None
        self._blocks: dict[int, _Open] = {}
        self._calls = 0
        self._ended = False

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes, cut anywhere. Raises `gateway.wire.sse.EventTooLarge`."""
        events = self._splitter.feed(chunk)
        if len(events) == 1:
            return self._translate(events[0])
        return b"".join([self._translate(event) for event in events])

    def end(self) -> bytes:
        """A last event that came without its blank line."""
        rest = self._splitter.rest
        return self._translate(rest) if rest else b""

    def _begin(self, message_id: str, model: str) -> bytes:
        """What every chunk begins with, up to its delta."""
        return (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[{"index":0,"delta":'
            % (
                _encode(message_id),
                self._created_s,
                _encode(model),
            )
        )

    def _translate(self, raw: bytes) -> bytes:
        data = event_data(raw)
        if not data or self._ended:
            return b""
        try:
            event = _event_decoder.decode(data)
            translate = _TRANSLATIONS.get(event.type)
            return b"" if translate is None else translate(self, event)
        except _MALFORMED:
            return self._fail(_UNREADABLE)

    def _fail(self, error: ErrorBody) -> bytes:
        self._ended = True
        return data_event(as_openai(error))

    def _chunk(self, delta: bytes) -> bytes:
        return self._prefix + delta + _END

    def _error(self, event: _Event) -> bytes:
        return self._fail(event.error or _UNREADABLE)

    def _message_start(self, event: _Event) -> bytes:
        message = event.message
        if message is not None:
            self._prefix = self._begin(message.id, message.model or self._model)
            self._usage = message.usage
        return self._chunk(b'{"role":"assistant","content":""}')

    def _block_start(self, event: _Event) -> bytes:
        block = _block_decoder.decode(event.content_block)
        kind, call = block.type, None
        is_json = kind == "tool_use" and self._json_tool and bytes(block.name) == JSON_TOOL_NAME
        if kind == "tool_use" and not is_json:
            call = self._calls
            self._calls += 1
        self._blocks[event.index] = _Open(event.content_block, block, call)
        if call is not None:
            opening = b'{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}'
            return self._chunk(opening % (call, bytes(block.id), bytes(block.name)))
        if kind == "redacted_thinking":
            return self._chunk(b'{"thinking_blocks":[' + _one_line(event.content_block) + b"]}")
        if kind == "text":
            return self._said(b"content", block.text)
        if kind == "thinking":
            return self._thought(self._blocks[event.index], block.thinking)
        return b""

    def _block_delta(self, event: _Event) -> bytes:
        delta = event.delta
        if delta is None:
            return b""
        if delta.type == "text_delta":
            return self._said(b"content", delta.text)
        if delta.type == "citations_delta":
            return self._chunk(b'{"citations":[' + _one_line(delta.citation) + b"]}")
        block = self._blocks.get(event.index)
        return b"" if block is None else self._more_of(block, delta)

    def _more_of(self, block: _Open, delta: _Delta) -> bytes:
        if delta.type == "input_json_delta" and block.block.type == "tool_use":
            return self._argument(block, delta.partial_json)
        if delta.type == "thinking_delta":
            return self._thought(block, delta.thinking)
        if delta.type == "signature_delta":
            block.signature = bytes(delta.signature)
        return b""

    def _said(self, name: bytes, text: msgspec.Raw) -> bytes:
        return self._chunk(b'{"' + name + b'":' + bytes(text) + b"}") if len(memoryview(text)) > 2 else b""

    def _thought(self, block: _Open, thinking: msgspec.Raw) -> bytes:
        if len(memoryview(thinking)) > 2:
            block.thoughts.append(bytes(thinking)[1:-1])
        return self._said(b"reasoning_content", thinking)

    def _argument(self, block: _Open, piece: msgspec.Raw) -> bytes:
        if len(memoryview(piece)) <= 2:
            return b""
        block.said = True
        return self._arguments(block, bytes(piece))

    def _arguments(self, block: _Open, text: bytes) -> bytes:
        if block.call is None:
            return self._chunk(b'{"content":' + text + b"}")
        return self._chunk(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (block.call, text))

    def _block_stop(self, event: _Event) -> bytes:
        block = self._blocks.pop(event.index, None)
        if block is None:
            return b""
        if block.block.type == "tool_use" and not block.said:  # without arguments, or all at once
            return self._arguments(
                block, as_text(block.block.input) if bytes(block.block.input) not in NULL else b'"{}"'
            )
        if block.signature:
            thinking = b'{"thinking_blocks":[{"type":"thinking","thinking":"%b","signature":%b}]}'
            return self._chunk(thinking % (b"".join(block.thoughts), block.signature))
        return b""

    def _message_delta(self, event: _Event) -> bytes:
        if event.usage is not None:
            self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None:
            return b""
        said: dict[str, Any] = {}
        if delta.stop_reason == "refusal" and delta.stop_details is not None and delta.stop_details.explanation:
            said["refusal"] = delta.stop_details.explanation
        reason = finish_reason(delta.stop_reason, calls=self._calls > 0)
        finish = b',"finish_reason":%b,"native_finish_reason":%b}]}\n\n' % (_encode(reason), _encode(delta.stop_reason))
        return self._prefix + _encode(said) + finish + self._usage_chunk()

    def _usage_chunk(self) -> bytes:
        """The chunk with usage, if there is any that has not been told."""
        usage = self._usage
        if usage is None or usage is self._reported:
            return b""
        self._reported = usage
        head = self._prefix[: -len(b'{"index":0,"delta":')]
        tier = service_tier_of(usage)
        served = b"" if tier is None else b',"service_tier":' + _encode(tier)
        return head + b"]" + served + b',"usage":' + _one_line(_encode(openai_usage(usage))) + b"}\n\n"

    def _message_stop(self, _: _Event) -> bytes:
        usage = self._usage_chunk()
        self._ended = True
        return usage + _DONE


_TRANSLATIONS: Final = {
    "message_start": Stream._message_start,
    "content_block_start": Stream._block_start,
    "content_block_delta": Stream._block_delta,
    "content_block_stop": Stream._block_stop,
    "message_delta": Stream._message_delta,
    "message_stop": Stream._message_stop,
    "error": Stream._error,
}


def _one_line(json: msgspec.Raw | bytes) -> bytes:
    """JSON without line ends, which would end the event's line. Inside of texts they are escaped."""
    return bytes(json).replace(b"\n", b" ").replace(b"\r", b" ")
