"""Chat answers as responses: whole, and their streams event by event as they come.

first chunk            response.created, response.in_progress
reasoning_content      a reasoning item; thinking_blocks are sealed into it
content, refusal       a message item
tool_calls             an item for each call; several may grow at a time
annotations            sources of the text
finish_reason, usage   kept for the end
[DONE]                 the items are closed; response.completed, or response.incomplete
error                  error, response.failed; nothing after it

A whole answer is put together from the same items, so that it is what its stream amounts to.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.native import Native
from gateway.wire.responses import deltas
from gateway.wire.responses.deltas import Delta, ToolCall
from gateway.wire.responses.envelope import sealed
from gateway.wire.responses.events import ERROR
from gateway.wire.responses.ids import item_id, response_id
from gateway.wire.responses.output import Call, CustomCall, Events, Item, Message, Reasoning
from gateway.wire.responses.raw import ABSENT, MALFORMED, encode, first, is_null, read_any, read_string, text
from gateway.wire.responses.settings import error_event, error_of, response_object
from gateway.wire.responses.tools import custom_names
from gateway.wire.responses.usage import from_chat
from gateway.wire.sse import event_data

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons to stop that leave an answer incomplete."""
_TIERS: Final = frozenset((b'"default"', b'"flex"', b'"scale"', b'"priority"', b'"fast"', b'"ultrafast"'))
"""Service tiers that a response knows; other providers have others."""
_UNREADABLE: Final = {"message": "The provider sent an answer that cannot be read.", "code": "server_error"}


class AnswerTranslator:
    """Translates one answer."""

    __slots__ = (
        "_begun",
        "_calls",
        "_created",
        "_ended",
        "_events",
        "_finish_reason",
        "_message",
        "_model",
        "_output",
        "_reasoning",
        "_request",
        "_request_id",
        "_service_tier",
        "_thoughts",
        "_usage",
        "final",
    )

    def __init__(self, *, model: str, request_id: str, request: Native, created_s: int = 0) -> None:
        """`model` and `created_s` stand in for what the answer does not say."""
        self.final: bytes | None = None
        """The complete response, once it is known; of a failed one too."""
        self._request = request
        self._request_id = request_id
        self._model: str | msgspec.Raw = model
        self._created: int | msgspec.Raw = created_s
        self._service_tier: str | msgspec.Raw = "default"
        self._usage: msgspec.Raw = ABSENT
        self._finish_reason = ""
        self._events = Events()
        self._begun = self._ended = False
        self._output: list[Item] = []
        self._message: Message | None = None
        self._reasoning: Reasoning | None = None
        self._calls: dict[int, Call] = {}
        self._thoughts: list[msgspec.Raw] = []
        """What the open reasoning item is to be sealed with."""

    # --- from outside ---

    def whole(self, body: bytes) -> bytes:
        """The response that a whole chat completion is."""
        try:
            answer = deltas.read_chunk(body)
            choice = next((each for each in answer.choices or () if each.index == 0), None)
            if choice is None:
                self.failure(_UNREADABLE if is_null(answer.error) else read_any(answer.error))
                return self.final or b""
            self._take_head(answer)
            self._finish_reason = choice.finish_reason or ""
            if choice.message is not None:
                self._take(choice.message, choice.logprobs)
        except MALFORMED:
            self.failure(_UNREADABLE)
        else:
            self._complete()
        return self.final or b""

    def events(self, events: list[bytes]) -> bytes:
        """What whole events of the chat stream say; empty when that is nothing yet."""
        if len(events) == 1:
            return self._event(events[0])
        return b"".join([self._event(event) for event in events])

    def end(self) -> bytes:
        """The chat stream has ended properly, with or without [DONE]."""
        return b"" if self._ended else self._begin() + self._complete()

    def failure(self, error_object: dict[str, Any]) -> bytes:
        """The end of a stream that failed: `error`, and `response.failed` with the error, in OpenAI's shape."""
        if self._ended:
            return b""
        begun = self._begin()
        for item in self._output:
            if item.open:
                item.status = "incomplete"
        told = self._events.say(ERROR, **error_event(error_object))
        return begun + told + self._last("response.failed", {"status": "failed", "error": error_of(error_object)})

    # --- one event ---

    def _event(self, event: bytes) -> bytes:
        data = event_data(event)
        if not data or self._ended:
            return b""
        if data == b"[DONE]":
            return self.end()
        try:
            chunk = deltas.read_chunk(data)
        except MALFORMED:
            return b""
        if not is_null(chunk.error) and not chunk.choices:
            return self.failure(read_any(chunk.error))
        out = b""
        if not self._begun:
            self._take_head(chunk)
            out = self._begin()
        if not is_null(chunk.usage):
            self._usage = chunk.usage
        self._take_tier(chunk)
        for choice in chunk.choices or ():
            if choice.index == 0:
                if choice.delta is not None:
                    out += self._take(choice.delta, choice.logprobs)
                self._finish_reason = choice.finish_reason or self._finish_reason
        return out

    def _take_head(self, chunk: deltas.Chunk) -> None:
        if not is_null(chunk.model) and bytes(chunk.model) != b'""':
            self._model = chunk.model
        if bytes(chunk.created).isdigit():
            self._created = chunk.created
        self._take_tier(chunk)
        self._usage = chunk.usage

    def _take_tier(self, chunk: deltas.Chunk) -> None:
        if bytes(chunk.service_tier) in _TIERS:
            self._service_tier = chunk.service_tier

    def _begin(self) -> bytes:
        """The events that every stream begins with."""
        if self._begun:
            return b""
        self._begun = True
        begun = self._response({"status": "in_progress"})
        created = self._events.say("response.created", response=begun)
        return created + self._events.say("response.in_progress", response=begun)

    # --- items ---

    def _take(self, delta: Delta, logprobs: msgspec.Raw) -> bytes:
        out = b""
        if thought := deltas.thought(delta):
            out += self._in_reasoning()
            assert self._reasoning is not None  # noqa: S101 -- just opened
            out += self._reasoning.more(thought)
        if blocks := deltas.blocks(delta.thinking_blocks):
            out += self._in_reasoning()
            self._thoughts += blocks
        if piece := deltas.spoken(delta.content):
            out += self._in_message()
            assert self._message is not None  # noqa: S101 -- just opened
            out += self._message.more(piece, deltas.logprobs_of(logprobs))
        if piece := deltas.spoken(delta.refusal):
            out += self._in_message()
            assert self._message is not None  # noqa: S101 -- as above
            out += self._message.refuse(piece)
        if self._message is not None:
            for annotation in deltas.annotations_of(delta.annotations):
                out += self._message.annotate(annotation)
        for position, call in enumerate(delta.tool_calls or ()):
            out += self._take_call(call, position)
        if blocks := deltas.blocks(delta.content_blocks):
            out += self._keep_answer(blocks)
        return out

    def _in_reasoning(self) -> bytes:
        if self._reasoning is not None:
            return b""
        out = self._close_message()
        self._reasoning = item = Reasoning(self._events, self._next_id("rs"), len(self._output))
        self._output.append(item)
        return out + item.added()

    def _in_message(self) -> bytes:
        if self._message is not None:
            return b""
        out = self._close_reasoning()
        self._message = item = Message(self._events, self._next_id("msg"), len(self._output))
        self._output.append(item)
        return out + item.added()

    def _take_call(self, said: ToolCall, position: int) -> bytes:
        named = said.function
        index = position if said.index is None else said.index
        call = self._calls.get(index)
        if call is not None and not is_null(said.id) and bytes(said.id) not in (b'""', bytes(call.call_id)):
            call = None  # another call under the same index, as some servers number them
        out = b""
        if call is None:
            if named is None or first(named.name) != b'"':
                return b""
            out = self._close_message() + self._close_reasoning()
            self._calls[index] = call = self._new_call(said, named.name)
            out += call.added()
        if named is not None and (written := deltas.arguments(named.arguments)):
            out += call.more(written)
        return out

    def _new_call(self, said: ToolCall, name: msgspec.Raw) -> Call:
        index = len(self._output)
        if read_string(name) in custom_names(self._request.fields):
            item: Call = CustomCall(self._events, self._next_id("ctc"), index)
        else:
            item = Call(self._events, self._next_id("fc"), index)
        item.name = name
        missing = is_null(said.id) or bytes(said.id) == b'""'
        item.call_id = text(item_id("call", self._request_id, index)) if missing else said.id
        self._output.append(item)
        return item

    def _keep_answer(self, blocks: list[msgspec.Raw]) -> bytes:
        """Chat's words cannot give the answer back as it was: an item without a text keeps it for the next request."""
        item = Reasoning(self._events, self._next_id("rs"), len(self._output))
        item.sealed = sealed({"content_blocks": blocks})
        self._output.append(item)
        return item.added() + item.close()

    def _next_id(self, prefix: str) -> str:
        return item_id(prefix, self._request_id, len(self._output))

    def _close_message(self) -> bytes:
        item, self._message = self._message, None
        return b"" if item is None else item.close()

    def _close_reasoning(self) -> bytes:
        item, self._reasoning = self._reasoning, None
        if item is None:
            return b""
        self._seal(item)
        return item.close()

    def _seal(self, item: Reasoning) -> None:
        if self._thoughts:
            item.sealed, self._thoughts = sealed({"thinking_blocks": self._thoughts}), []

    # --- the end ---

    def _complete(self) -> bytes:
        reason = _INCOMPLETE.get(self._finish_reason)
        growing = [item for item in self._output if item.open]
        if self._reasoning is not None:
            self._seal(self._reasoning)
        out = [item.close() for item in growing[:-1]]
        out += [item.close("completed" if reason is None else "incomplete") for item in growing[-1:]]
        if reason is None:
            out.append(self._last("response.completed", {"status": "completed"}))
        else:
            status = {"status": "incomplete", "incomplete_details": {"reason": reason}}
            out.append(self._last("response.incomplete", status))
        return b"".join(out)

    def _last(self, kind: str, said: dict[str, Any]) -> bytes:
        self._begun = self._ended = True
        response = self._response({**said, "output": [item.json() for item in self._output]})
        response["usage"] = from_chat(self._usage)
        self.final = encode(response)
        return self._events.say(kind, response=msgspec.Raw(self.final))

    def _response(self, said: dict[str, Any]) -> dict[str, Any]:
        response = response_object(self._request.fields, response_id(self._request_id), self._model, self._created)
        return {**response, "service_tier": self._service_tier, **said}
