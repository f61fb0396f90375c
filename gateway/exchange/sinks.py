"""Where a metered stream's events go: to the client as they come, or into the answer for one that does not stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.exchange.events import Events
from gateway.exchange.outbox import Outbox
from gateway.wire.wires import Assembler, Observer


class ClientSink:
    """To the client, from the moment on when there is something to show."""

    __slots__ = ("_begin", "_events", "_held", "_outbox")

    def __init__(self, events: Events, outbox: Outbox, begin: Callable[[list[bytes]], Awaitable[bool]]) -> None:
        """`begin` is given what was held so far, and starts the answer if it is time."""
        self._events = events
        self._outbox = outbox
        self._begin = begin
        self._held: list[bytes] | None = []

    @property
    def begun(self) -> bool:
        """Whether the answer was started."""
        return self._held is None

    @property
    def held(self) -> bytes:
        """What was not sent yet."""
        return b"".join(self._held or ())

    async def take(self, events: list[bytes]) -> None:
        """Pass events on. Raises ClientTooSlow, and whatever `begin` raises."""
        out = self._events.pass_on(events)
        held = self._held
        if held is not None:
            held.append(out)
            if not await self._begin(held):
                return
            out, self._held = b"".join(held), None
        if out:
            await self._outbox.put(out)

    async def flush(self) -> None:
        """The answer was started for another reason: send what is held."""
        held, self._held = self._held, None
        if held:
            await self._outbox.put(b"".join(held))


class AnswerSink:
    """Into a whole answer."""

    __slots__ = ("_assembler", "_observer", "failure")

    def __init__(self, observer: Observer, assembler: Assembler) -> None:
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
