"""Sending a generation as a stream of typed events, as the APIs do whose events have names."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from gateway.simulator.answer import Piece
from gateway.simulator.conversation import Conversation, HeaderList
from gateway.simulator.faults import Fault
from gateway.simulator.generation import Generation, Wire
from gateway.simulator.stream import EventDelivery


class Event(NamedTuple):
    """One event."""

    name: bytes
    data: bytes
    """JSON."""


@runtime_checkable
class TypedWire(Wire, Protocol):
    """How an endpoint writes its stream. It keeps what was said: one is made for each answer, which is written once."""

    def opening(self) -> list[Event]:
        """What comes before any content."""
        ...

    def piece(self, piece: Piece) -> list[Event]:
        """What shows a piece."""
        ...

    def closing(self) -> list[Event]:
        """What ends the content."""
        ...

    def usage(self, *, told: bool) -> list[Event]:
        """What ends the stream, with the usage if it is to be told."""
        ...

    def failure(self, fault: Fault) -> list[Event]:
        """An error inside the stream."""
        ...


class TypedDelivery(EventDelivery):
    """One generation, as typed events."""

    def __init__(
        self, conversation: Conversation, generation: Generation, wire: TypedWire, headers: HeaderList
    ) -> None:
        super().__init__(conversation, generation, headers)
        self._wire = wire

    def opening(self) -> list[bytes]:
        """The first events."""
        return self._framed(self._wire.opening())

    def said(self, index: int, piece: Piece) -> list[bytes]:
        """The events of a piece; there is one choice only."""
        return self._framed(self._wire.piece(piece))

    def error(self, fault: Fault) -> list[bytes]:
        """The events of an error."""
        return self._framed(self._wire.failure(fault))

    async def end(self) -> None:
        """The ends of what is open, then the usage."""
        told = not self.faults.find("missing-usage")
        for event in self._framed(self._wire.closing()):
            await self.conversation.write(event)
        late = self.faults.find("late-usage")
        if late is None or await self.conversation.pause(late.number("ms") / 1000):
            await self.conversation.finish(b"".join(self._framed(self._wire.usage(told=told))))
            self.generation.usage_delivered = told and not self.conversation.gone

    def _framed(self, events: list[Event]) -> list[bytes]:
        return [self.framed(event.data, event.name) for event in events]
