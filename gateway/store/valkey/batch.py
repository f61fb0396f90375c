"""What a stretch of the stream comes to: the rows that one transaction writes. Pure.

A reservation that begins and ends in one stretch leaves its charge and nothing else: most attempts never cost the
journal more than one row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.store.valkey.codec import Adjusted, Admitted, EpochBegan, Extended, Resolved, StoreEvent
from gateway.telemetry.events import Adjusted as Entry
from gateway.telemetry.events import ChargePosted, OrphanReturned, RunChanged


@dataclass(slots=True)
class Batch:
    """Changes in the journal, each at most once, in no order that matters."""

    charges: list[ChargePosted] = field(default_factory=list)
    pending: dict[str, Admitted] = field(default_factory=dict)
    """Reservations that began, with their extensions."""
    extended: dict[str, Extended] = field(default_factory=dict)
    """What reservations that began earlier have come to."""
    ended: set[str] = field(default_factory=set)
    """Reservations that began earlier and are over."""
    orphaned: set[str] = field(default_factory=set)
    """Those that a late settlement may still correct."""
    runs: dict[str, RunChanged] = field(default_factory=dict)
    adjusted: dict[str, Adjusted] = field(default_factory=dict)
    """Entries that counters have taken up. Their rows were written before, by whoever made them."""
    returned: list[OrphanReturned] = field(default_factory=list)
    """Orphans that count no more. They have no rows of their own: their corrections are charges."""
    entries: list[Entry] = field(default_factory=list)
    """Entries that only the stream knows."""

    def add(self, events: Iterable[StoreEvent]) -> None:
        """Take up further events, which happened after those before."""
        for event in events:
            _ADD[type(event)](self, event)

    def _begin(self, event: Admitted) -> None:
        self.pending[event.id] = event

    def _extend(self, event: Extended) -> None:
        begun = self.pending.get(event.id)
        if begun is None:
            self.extended[event.id] = event
        else:
            self.pending[event.id] = begun._replace(strict=event.strict, calibrated=event.calibrated)

    def _end(self, event: Resolved) -> None:
        if event.charge is not None:
            self.charges.append(event.charge)
        if event.returned is not None:
            self.returned.append(event.returned)
        if event.entry is not None:
            self.entries.append(event.entry)
        if event.orphaned:
            self.orphaned.add(event.id)
        else:
            self.orphaned.discard(event.id)
            self.extended.pop(event.id, None)
            if self.pending.pop(event.id, None) is None:
                self.ended.add(event.id)

    def _change_run(self, event: RunChanged) -> None:
        self.runs[event.run.id] = event

    def _adjust(self, event: Adjusted) -> None:
        self.adjusted[event.entry] = event


_ADD: dict[type[Any], Any] = {
    Admitted: Batch._begin,
    Extended: Batch._extend,
    Resolved: Batch._end,
    RunChanged: Batch._change_run,
    Adjusted: Batch._adjust,
    EpochBegan: lambda _batch, _event: None,
}
