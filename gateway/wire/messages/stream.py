"""A stream of chat as the Messages API streams it, event by event as they come.

the first chunk        message_start, which knows no usage yet
content, refusal       a text block; `citations` are its
reasoning_content      a thinking block, closed with the signature that `thinking_blocks` brings, else with our mark
tool_calls             a tool_use block each
finish_reason          the open blocks are closed. message_delta waits for the usage, which comes behind it
[DONE]                 message_delta, if it still waits; message_stop
error                  an error event; nothing after it

Blocks follow one another, as Anthropic's do. Where a provider mixes the pieces of parallel calls, those stay open that
have not ended.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.messages.answer import as_text, call_id, has_text, message_id, refusal_details
from gateway.wire.messages.calls import CallPiece, Calls, GrowingCall
from gateway.wire.messages.errors import error_event
from gateway.wire.messages.notes import ABSENT, MALFORMED, is_null
from gateway.wire.messages.reasons import REFUSAL, stop_reason
from gateway.wire.messages.thoughts import MARK_JSON
from gateway.wire.messages.usage import ChatUsage, messages_usage, translated_usage
from gateway.wire.sse import event_data
from routing.money import Usage

_encode = msgspec.json.encode
_DONE: Final = b"[DONE]"
_UNREADABLE: Final = {"message": "The provider sent an event that cannot be read.", "type": "upstream_error"}
_APART: Final = b'"\\n\\n'
"""What sets thoughts apart from earlier ones on the chat wire."""

_STOP: Final = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_START: Final = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
_DELTA: Final = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
)
_MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_TEXT: Final = b'{"type":"text","text":""}'
_THINKING: Final = b'{"type":"thinking","thinking":"","signature":""}'


class _Delta(msgspec.Struct):
    content: msgspec.Raw = ABSENT
    reasoning_content: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    tool_calls: list[CallPiece] | None = None
    thinking_blocks: list[msgspec.Raw] | None = None
    citations: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    native_finish_reason: Any = None


class _GroqExtra(msgspec.Struct):
    usage: ChatUsage | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    id: Any = None
    model: Any = None
    usage: ChatUsage | None = None
    x_groq: _GroqExtra | None = None
    error: msgspec.Raw = ABSENT


class _Thought(msgspec.Struct):
    type: str = ""
    thinking: msgspec.Raw = ABSENT
    signature: msgspec.Raw = ABSENT


_chunk_decoder = msgspec.json.Decoder(_Chunk)
_thought_decoder = msgspec.json.Decoder(_Thought)
_error_decoder = msgspec.json.Decoder(dict[str, Any])


class MessageStream:
    """Translates one stream."""

    __slots__ = (
        "_block",
        "_calls",
        "_delta_sent",
        "_ended",
        "_finish",
        "_index",
        "_kind",
        "_model",
        "_native",
        "_refusal",
        "_request_id",
        "_signed",
        "_started",
        "_unfinished",
        "_usage",
    )

    def __init__(self, model: str, request_id: str) -> None:
        self._model = model
        self._request_id = request_id
        self._started = False
        self._ended = False
        self._delta_sent = False
        self._index = 0
        """Of the next block."""
        self._kind = b""
        """Of the block that is open: `text`, `thinking`, `tool`; empty when none is."""
        self._block = 0
        """Its index."""
        self._signed = False
        """A thought was signed: what the next one begins with, to be set apart from it, is none of its own."""
        self._calls = Calls()
        self._unfinished: list[int] = []
        """Blocks of calls that others were mixed with."""
        self._finish: str | None = None
        self._native: Any = None
        self._refusal: list[bytes] = []
        """What was said of it: the insides of JSON strings."""
        self._usage: ChatUsage | None = None

    def take(self, event: bytes) -> bytes:
        """What the next event of the chat stream says."""
        data = event_data(event)
        if not data or self._ended:
            return b""
        if data == _DONE:
            return self.end()
        try:
            chunk = _chunk_decoder.decode(data)
        except MALFORMED:
            return self.fail(_UNREADABLE)
        if not is_null(chunk.error):
            return self._provider_failed(chunk.error)
        return self._take(chunk)

    def _take(self, chunk: _Chunk) -> bytes:
        out: list[bytes] = []
        usage = chunk.usage
        if usage is None and chunk.x_groq is not None:
            usage = chunk.x_groq.usage
        if usage is not None:
            self._usage = usage
        for choice in chunk.choices or ():
            if choice.index == 0 and not self._delta_sent:
                if not self._started:
                    self._begin(out, chunk)
                self._say(out, choice)
        if self._finish is not None and usage is not None and not self._delta_sent:
            self._close_message(out)
        return out[0] if len(out) == 1 else b"".join(out)

    def end(self) -> bytes:
        """The stream has ended as it should: what is still to be said."""
        if self._ended:
            return b""
        out: list[bytes] = []
        if not self._started:
            self._begin(out, _Chunk())
        if not self._delta_sent:
            self._close_message(out)
        self._ended = True
        out.append(_MESSAGE_STOP)
        return b"".join(out)

    def fail(self, error: dict[str, Any]) -> bytes:
        """The stream has ended as it should not, with an error in OpenAI's shape."""
        if self._ended:
            return b""
        self._ended = True
        return error_event(error, self._request_id)

    def _provider_failed(self, raw: msgspec.Raw) -> bytes:
        try:
            return self.fail(_error_decoder.decode(raw))
        except MALFORMED:  # a text, say
            return self.fail({"message": bytes(raw).decode(errors="replace").strip('"'), "type": "upstream_error"})

    # --- the message ---

    def _begin(self, out: list[bytes], chunk: _Chunk) -> None:
        self._started = True
        message: dict[str, Any] = {
            "id": message_id(chunk.id, self._request_id),
            "type": "message",
            "role": "assistant",
            "model": chunk.model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(Usage()),
        }
        out.append(b"event: message_start\ndata: " + _encode({"type": "message_start", "message": message}) + b"\n\n")

    def _say(self, out: list[bytes], choice: _Choice) -> None:
        delta = choice.delta
        if delta is not None:
            self._say_thoughts(out, delta)
            if has_text(delta.content):
                self._text(out, delta.content)
            if delta.tool_calls:
                for piece in delta.tool_calls:
                    self._call(out, piece)
            if has_text(delta.refusal):
                self._refusal.append(bytes(delta.refusal)[1:-1])
                if choice.finish_reason != "content_filter":  # the model's own words, not why a filter has cut it
                    self._text(out, delta.refusal)
        if choice.finish_reason is not None and self._finish is None:
            self._finish, self._native = choice.finish_reason, choice.native_finish_reason

    def _say_thoughts(self, out: list[bytes], delta: _Delta) -> None:
        """Thoughts, and citations, which stand before the text that they are of."""
        thought = delta.reasoning_content if has_text(delta.reasoning_content) else delta.reasoning
        if has_text(thought):
            self._thought(out, bytes(thought))
        if delta.thinking_blocks:
            for raw in delta.thinking_blocks:
                self._thinking_block(out, raw, told=has_text(thought))
        for citation in delta.citations or ():
            self._open(out, b"text", _TEXT)
            out.append(_DELTA % (self._block, b"citations_delta", b"citation", one_line(citation)))

    def _close_message(self, out: list[bytes]) -> None:
        self._delta_sent = True
        self._close_all(out)
        reason = stop_reason(self._finish, self._native, calls=bool(self._calls.all), refused=bool(self._refusal))
        delta: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
        if reason == REFUSAL:
            delta["stop_details"] = refusal_details(msgspec.Raw(b'"' + b"".join(self._refusal) + b'"'))
        usage = translated_usage(self._usage, None)
        said = {"type": "message_delta", "delta": delta, "usage": usage}
        out.append(b"event: message_delta\ndata: " + one_line(_encode(said)) + b"\n\n")

    # --- its blocks ---

    def _open(self, out: list[bytes], kind: bytes, block: bytes) -> None:
        """See that a block of this kind is open: the one that is, or a new one."""
        if self._kind != kind:
            self._start(out, kind, block)

    def _start(self, out: list[bytes], kind: bytes, block: bytes) -> None:
        self._close(out)
        self._kind, self._block = kind, self._index
        self._index += 1
        out.append(_START % (self._block, block))

    def _close(self, out: list[bytes]) -> None:
        """End the open block, unless it is a call that has more to say."""
        kind, self._kind = self._kind, b""
        if kind == b"tool":
            call = next(each for each in self._calls.all if each.block == self._block)
            if not call.whole:
                self._unfinished.append(self._block)
                return
        elif kind == b"thinking":
            out.append(_DELTA % (self._block, b"signature_delta", b"signature", MARK_JSON))
            self._signed = False
        if kind:
            out.append(_STOP % self._block)

    def _close_all(self, out: list[bytes]) -> None:
        for call in self._calls.all:
            if call.block is None:  # it never had a name
                self._start_call(out, call)
        if self._kind == b"tool":
            self._unfinished.append(self._block)
            self._kind = b""
        self._close(out)
        out += [_STOP % index for index in sorted(self._unfinished)]
        self._unfinished = []

    def _text(self, out: list[bytes], text: msgspec.Raw) -> None:
        if self._kind != b"text":
            self._start(out, b"text", _TEXT)
        out.append(_DELTA % (self._block, b"text_delta", b"text", bytes(text)))

    def _thought(self, out: list[bytes], thought: bytes) -> None:
        if self._kind != b"thinking":
            self._start(out, b"thinking", _THINKING)
            if self._signed and thought.startswith(_APART):
                thought = b'"' + thought[len(_APART) :]
        if len(thought) > 2:
            out.append(_DELTA % (self._block, b"thinking_delta", b"thinking", thought))

    def _thinking_block(self, out: list[bytes], raw: msgspec.Raw, *, told: bool) -> None:
        """A thought as Anthropic has it: whole with its signature, after its text was told, or without any text."""
        try:
            block = _thought_decoder.decode(raw)
        except MALFORMED:
            return
        if block.type == "redacted_thinking":
            self._start(out, b"redacted", one_line(raw))
            self._close(out)
        elif block.type == "thinking":
            if self._kind != b"thinking" or not (told or has_text(block.signature)):
                self._open(out, b"thinking", _THINKING)
                if has_text(block.thinking):
                    out.append(_DELTA % (self._block, b"thinking_delta", b"thinking", bytes(block.thinking)))
            if has_text(block.signature):
                out.append(_DELTA % (self._block, b"signature_delta", b"signature", bytes(block.signature)))
                out.append(_STOP % self._block)
                self._kind, self._signed = b"", True

    def _call(self, out: list[bytes], piece: CallPiece) -> None:
        call = self._calls.of(piece)
        arguments = b'""' if piece.function is None else as_text(piece.function.arguments)
        call.take(piece, arguments)
        if call.block is None:
            if not call.name:
                return
            self._start_call(out, call)
        self._tell(out, call)

    def _start_call(self, out: list[bytes], call: GrowingCall) -> None:
        given = call_id(call.id, call.number, self._request_id)
        block = b'{"type":"tool_use","id":%b,"name":%b,"input":{}}' % (_encode(given), _encode(call.name))
        self._start(out, b"tool", block)
        call.block = self._block
        self._tell(out, call)

    def _tell(self, out: list[bytes], call: GrowingCall) -> None:
        rest = call.untold()
        if rest and call.block is not None:
            out.append(_DELTA % (call.block, b"input_json_delta", b"partial_json", b'"' + rest + b'"'))


def one_line(json: msgspec.Raw | bytes) -> bytes:
    """JSON without line ends, which would end the event's line. Inside of texts they are escaped."""
    return bytes(json).replace(b"\n", b" ").replace(b"\r", b" ")
