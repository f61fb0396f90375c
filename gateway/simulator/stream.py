"""Sending a generation as an event stream, a few tokens an event, with the faults that a stream can have."""

from __future__ import annotations

from abc import abstractmethod

import msgspec

from gateway.simulator.answer import Piece
from gateway.simulator.conversation import Conversation, HeaderList
from gateway.simulator.delivery import GARBAGE, Delivery
from gateway.simulator.faults import Fault
from gateway.simulator.generation import Generation, StreamWire

_DONE = b"data: [DONE]\n\n"
_BROKEN = b'data: {"id": "broken", "choices": [{"delta"\n\n'
_ERROR = (
    b'{"error":{"message":"The server had an error while processing your request.",'
    b'"type":"server_error","param":null,"code":null}}'
)
_AND = Piece(1, {"content": " and"})
"""What would come next where everything has come."""


class EventDelivery(Delivery):
    """One generation, sent as it is made."""

    def __init__(self, conversation: Conversation, generation: Generation, headers: HeaderList) -> None:
        super().__init__(conversation, generation, headers)
        self._multiline = self.faults.find("multiline") is not None
        self._comments = self.faults.find("comments") is not None
        self._opened = False

    @abstractmethod
    def opening(self) -> list[bytes]:
        """The events before any content, framed."""

    @abstractmethod
    def said(self, index: int, piece: Piece) -> list[bytes]:
        """The events of a piece of a choice, framed."""

    @abstractmethod
    def error(self, fault: Fault) -> list[bytes]:
        """The events of an error inside the stream, framed."""

    @abstractmethod
    async def end(self) -> None:
        """Send what comes after the content, and end the stream."""

    async def run(self) -> None:
        """Send all of it, or as much as the client and the faults allow."""
        generation = self.generation
        self.conversation.watch()
        tokens = 0
        for index, piece in generation.flow:
            if not await self.until(generation.due[generation.made]):
                await self.client_left()
                return
            if await self._ended_by_fault(tokens, (index, piece)):
                return
            await self._open()
            for event in self.said(index, piece):
                await self.conversation.write(event)
            generation.made += 1
            tokens += piece.tokens
        if await self._ended_by_fault(None, (0, _AND)):
            return
        await self._open()
        await self.end()
        if self.conversation.gone:
            generation.outcome = "cancelled"

    async def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        await self.conversation.start_stream(self.headers, compress=self.faults.find("gzip") is not None)
        for event in self.opening():
            await self.conversation.write(event)

    async def _ended_by_fault(self, tokens: int | None, following: tuple[int, Piece]) -> bool:
        """Break the stream if it is time: after so many tokens, or at the end (None). True when it has ended.

        `following`: a choice, and the piece of it that would come next.
        """
        fault = self.breaking
        if fault is None or (tokens is not None and tokens < fault.number("after")):
            return False
        self.breaking = None
        await self._open()
        if fault.name == "bad-json":
            await self.conversation.write(_BROKEN)
        elif fault.name == "garbage":
            await self.conversation.write(GARBAGE)
        else:
            self.generation.outcome = "cut"
            await self._break_off(fault, following)
            return True
        return False

    async def _break_off(self, fault: Fault, following: tuple[int, Piece]) -> None:
        if fault.name == "cut":
            await self.conversation.reset()
        elif fault.name == "unterminated":
            *_, last = self.said(*following) or [_BROKEN]
            await self.conversation.finish(last.removesuffix(b"\n\n"))
        elif fault.name == "error-event":
            await self.conversation.finish(b"".join(self.error(fault)))
        else:
            await self.conversation.finish()

    def framed(self, data: bytes, name: bytes = b"") -> bytes:
        """An event as bytes; `name`: what its `event:` line says."""
        lines = msgspec.json.format(data, indent=1).split(b"\n") if self._multiline else [data]
        kind = b"event: %b\n" % name if name else b""
        event = kind + b"".join(b"data: %b\n" % line for line in lines) + b"\n"
        return b": ping\n\n" + event if self._comments else event


class StreamDelivery(EventDelivery):
    """A stream of chat or legacy completions: all choices side by side."""

    def __init__(
        self, conversation: Conversation, generation: Generation, wire: StreamWire, headers: HeaderList
    ) -> None:
        super().__init__(conversation, generation, headers)
        self._wire = wire
        self._made = [0] * len(generation.choices)

    def opening(self) -> list[bytes]:
        """What opens each choice."""
        events = (self._wire.opening(index) for index in range(len(self.generation.choices)))
        return [self.framed(event) for event in events if event is not None]

    def said(self, index: int, piece: Piece) -> list[bytes]:
        """An event, or none of what is hidden."""
        self._made[index] += piece.tokens
        if piece.delta is None:
            return []
        generation = self.generation
        usage = generation.running_usage(self._made[index]) if generation.options.running_usage else None
        return [self.framed(self._wire.piece(index, piece.delta, usage))]

    def error(self, fault: Fault) -> list[bytes]:
        """An error object in place of a chunk."""
        return [self.framed(_ERROR)]

    async def end(self) -> None:
        """Finish reasons, usage and [DONE], in the order that the faults want."""
        generation, conversation = self.generation, self.conversation
        on_last = self.faults.find("usage-on-last") is not None
        for index, choice in enumerate(generation.choices):
            last = index == len(generation.choices) - 1
            usage = generation.usage() if on_last and last else None
            await self._event(self._wire.closing(index, choice.finish_reason, usage))
        if on_last:
            generation.usage_delivered = not conversation.gone
        wanted = generation.options.include_usage and not on_last and not self.faults.find("missing-usage")
        after_done = self.faults.find("usage-after-done")
        if wanted and after_done is None:
            await self._send_usage(self.faults.find("late-usage"))
        if wanted and after_done is not None:
            await conversation.write(_DONE)
            await self._send_usage(after_done)
            await conversation.finish()
        else:
            await conversation.finish(_DONE)

    async def _send_usage(self, late: Fault | None) -> None:
        if late is None or await self.conversation.pause(late.number("ms") / 1000):
            await self._event(self._wire.usage(self.generation.usage()))
            self.generation.usage_delivered = not self.conversation.gone

    async def _event(self, data: bytes) -> None:
        await self.conversation.write(self.framed(data))
