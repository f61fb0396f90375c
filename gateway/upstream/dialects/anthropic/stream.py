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

from gateway.upstream.dialects.anthropic.answer import StopDetails, as_text
from gateway.upstream.dialects.anthropic.content import NULL
from gateway.upstream.dialects.anthropic.errors import ErrorBody, as_openai
from gateway.upstream.dialects.anthropic.tools import JSON_TOOL_NAME
from gateway.wire.messages.blocks import GrowingBlock, is_plain, read_block
from gateway.wire.messages.reasons import finish_reason
from gateway.wire.messages.usage import AnthropicUsage, openai_usage, service_tier_of
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
        self._blocks: list[GrowingBlock] = []
        """All that began, in their order."""
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
        raw = event.content_block
        begun = read_block(raw)
        kind, call = begun.type, None
        if kind == "tool_use" and not (self._json_tool and bytes(begun.name) == JSON_TOOL_NAME):
            call = self._calls
            self._calls += 1
        block = GrowingBlock(raw, event.index, call)
        self._blocks.append(block)
        if call is not None:
            opening = b'{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}'
            return self._chunk(opening % (call, bytes(begun.id), bytes(begun.name)))
        if kind == "redacted_thinking":
            return self._chunk(b'{"thinking_blocks":[' + _one_line(raw) + b"]}")
        if kind == "text":
            return self._more(block, begun.text)
        return self._more(block, begun.thinking) if kind == "thinking" else b""

    def _block_delta(self, event: _Event) -> bytes:
        delta = event.delta
        block = self._growing(event.index)
        if delta is None or block is None:
            return b""
        kind = delta.type
        if kind == "text_delta":
            return self._more(block, delta.text)
        if kind == "input_json_delta":
            return self._more(block, delta.partial_json)
        if kind == "thinking_delta":
            return self._more(block, delta.thinking)
        if kind == "signature_delta":
            block.signature = bytes(delta.signature)
        elif kind == "citations_delta":
            citation = _one_line(delta.citation)
            block.citations.append(msgspec.Raw(citation))
            return self._chunk(b'{"citations":[' + citation + b"]}")
        return b""

    def _growing(self, index: int) -> GrowingBlock | None:
        """The block that a delta belongs to: nearly always the last."""
        return next((block for block in reversed(self._blocks) if block.index == index), None)

    def _more(self, block: GrowingBlock, piece: msgspec.Raw) -> bytes:
        """What a further piece of a block says in OpenAI's words."""
        if not block.add(piece):
            return b""
        kind = block.block.type
        if kind == "text":
            return self._chunk(b'{"content":' + bytes(piece) + b"}")
        if kind == "thinking":
            return self._chunk(b'{"reasoning_content":' + self._apart(block, bytes(piece)) + b"}")
        return self._arguments(block, bytes(piece)) if kind == "tool_use" else b""

    def _apart(self, block: GrowingBlock, thought: bytes) -> bytes:
        """A thought, set apart from those of earlier blocks if it is its block's first."""
        if len(block.pieces) > 1:
            return thought
        earlier = any(other.pieces and other.block.type == "thinking" for other in self._blocks if other is not block)
        return b'"\\n\\n' + thought[1:] if earlier else thought

    def _arguments(self, block: GrowingBlock, text: bytes) -> bytes:
        if block.call is None:
            return self._chunk(b'{"content":' + text + b"}")
        return self._chunk(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (block.call, text))

    def _block_stop(self, event: _Event) -> bytes:
        block = self._growing(event.index)
        if block is None:
            return b""
        if block.block.type == "tool_use" and not block.pieces:  # without arguments, or all at once
            given = block.block.input
            return self._arguments(block, b'"{}"' if bytes(given) in NULL else as_text(given))
        if block.signature:
            return self._chunk(b'{"thinking_blocks":[' + block.json() + b"]}")
        return b""

    def _message_delta(self, event: _Event) -> bytes:
        if event.usage is not None:
            self._usage = event.usage if self._usage is None else self._usage.updated(event.usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None:
            return b""
        said: dict[str, Any] = {}
        if not is_plain([block.block.type for block in self._blocks]) and not self._json_tool:
            said["content_blocks"] = [msgspec.Raw(_one_line(block.json())) for block in self._blocks]
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
