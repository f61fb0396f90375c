"""Sending a generation as an event stream, a few tokens an event, with the faults that a stream can have."""

from __future__ import annotations

import msgspec

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


class StreamDelivery(Delivery):
    """One generation, sent as it is made."""

    def __init__(
        self, conversation: Conversation, generation: Generation, wire: StreamWire, headers: HeaderList
    ) -> None:
        super().__init__(conversation, generation, headers)
        self._wire = wire
        self._multiline = self.faults.find("multiline") is not None
        self._comments = self.faults.find("comments") is not None
        self._opened = False

    async def run(self) -> None:
        """Send all of it, or as much as the client and the faults allow."""
        generation = self.generation
        self.conversation.watch()
        tokens = 0
        made = [0] * len(generation.choices)
        running = generation.options.running_usage
        for index, piece in generation.flow:
            if not await self.until(generation.due[generation.made]):
                await self.client_left()
                return
            if await self._ended_by_fault(tokens):
                return
            if not self._opened:
                await self._open()
            made[index] += piece.tokens
            if piece.delta is not None:
                usage = generation.running_usage(made[index]) if running else None
                await self._event(self._wire.piece(index, piece.delta, usage))
            generation.made += 1
            tokens += piece.tokens
        if await self._ended_by_fault(None):
            return
        await self._end()
        if self.conversation.gone:
            generation.outcome = "cancelled"

    async def _open(self) -> None:
        self._opened = True
        await self.conversation.start_stream(self.headers, compress=self.faults.find("gzip") is not None)
        for index in range(len(self.generation.choices)):
            opening = self._wire.opening(index)
            if opening is not None:
                await self._event(opening)

    async def _ended_by_fault(self, tokens: int | None) -> bool:
        """Break the stream if it is time: after so many tokens, or at the end (None). True when it has ended."""
        fault = self.breaking
        if fault is None or (tokens is not None and tokens < fault.number("after")):
            return False
        self.breaking = None
        if not self._opened:
            await self._open()
        if fault.name == "bad-json":
            await self.conversation.write(_BROKEN)
        elif fault.name == "garbage":
            await self.conversation.write(GARBAGE)
        else:
            await self._break_off(fault)
            return True
        return False

    async def _break_off(self, fault: Fault) -> None:
        self.generation.outcome = "cut"
        if fault.name == "cut":
            await self.conversation.reset()
        elif fault.name == "unterminated":
            await self.conversation.finish(b"data: " + self._wire.piece(0, {"content": " and"}))
        elif fault.name == "error-event":
            await self._event(_ERROR)
            await self.conversation.finish()
        else:
            await self.conversation.finish()

    async def _end(self) -> None:
        """Finish reasons, usage and [DONE], in the order that the faults want."""
        generation, conversation = self.generation, self.conversation
        if not self._opened:
            await self._open()
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
        if self._multiline:
            lines = msgspec.json.format(data, indent=1).split(b"\n")
            framed = b"".join(b"data: %b\n" % line for line in lines) + b"\n"
        else:
            framed = b"data: %b\n\n" % data
        await self.conversation.write(b": ping\n\n" + framed if self._comments else framed)
