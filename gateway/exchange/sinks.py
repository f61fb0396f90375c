"""Where a metered stream's events go: to the client as they come, or into the answer for one that does not stream."""

from __future__ import annotations

from gateway.exchange.events import Events
from gateway.exchange.outbox import Outbox
from gateway.wire.answers import StreamObserver
from gateway.wire.assemble import Assembler


class ClientSink:
    """To the client."""

    __slots__ = ("_events", "_outbox")

    def __init__(self, events: Events, outbox: Outbox) -> None:
        self._events = events
        self._outbox = outbox

    async def take(self, events: list[bytes]) -> None:
        """Pass events on. Raises ClientTooSlow."""
        out = self._events.pass_on(events)
        if out:
            await self._outbox.put(out)


class AnswerSink:
    """Into a whole answer."""

    __slots__ = ("_assembler", "_observer", "failure")

    def __init__(self, observer: StreamObserver, assembler: Assembler) -> None:
        self._observer = observer
        self._assembler = assembler
        self.failure = b""
        """The event in which the provider reported an error."""

    async def take(self, events: list[bytes]) -> None:
        """Put events together."""
        for event in events:
            self._observer.observe(event)
            if self._observer.failed and not self.failure:
                self.failure = event
            self._assembler.feed(event)
