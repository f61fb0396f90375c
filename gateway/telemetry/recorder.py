"""How events leave the request's path: appended to a list now, handed to every sink as a batch a little later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from gateway.telemetry.events import Event

log = logging.getLogger(__name__)

_COMPLAIN_EVERY_S = 60.0


class Sink(Protocol):
    """An adapter that reads events: the journal, the metrics, the access log."""

    def receive(self, events: Sequence[Event]) -> None:
        """Take a batch, in the order in which it happened. Runs on the event loop: must not block."""
        ...


class Recorder:
    """Collects events and delivers them in batches, at most `interval_s` after the first of a batch.

    Belongs to one event loop and is used from its thread only. One per process.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        interval_s: float = 0.05,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """`loop` is the running one when not given."""
        self._sinks = tuple(sinks)
        self._interval_s = interval_s
        self._loop = loop or asyncio.get_running_loop()
        self._pending: list[Event] = []
        self._timer: asyncio.TimerHandle | None = None
        self._complained_at_s: dict[int, float] = {}

    def add(self, sink: Sink) -> None:
        """Give events to one more sink, from now on."""
        self._sinks = (*self._sinks, sink)

    def record(self, event: Event) -> None:
        """Note an event. Costs an append, and a timer for the first of each batch."""
        pending = self._pending
        if not pending:
            self._timer = self._loop.call_later(self._interval_s, self.flush)
        pending.append(event)

    def flush(self) -> None:
        """Deliver what is pending now: before metrics are rendered, and last of all at shutdown."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        events, self._pending = self._pending, []
        if not events:
            return
        for sink in self._sinks:
            try:
                sink.receive(events)
            except Exception:  # noqa: BLE001 - an outermost edge: one adapter's defect must not cost the others theirs
                self._complain(sink, len(events))

    def _complain(self, sink: Sink, lost: int) -> None:
        """Log the exception being handled, but not twenty times a second."""
        now_s = self._loop.time()
        last_s = self._complained_at_s.get(id(sink))
        if last_s is None or now_s - last_s >= _COMPLAIN_EVERY_S:
            self._complained_at_s[id(sink)] = now_s
            log.exception("a telemetry sink failed", extra={"sink": type(sink).__name__, "events": lost})
