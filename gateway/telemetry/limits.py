"""Counts what budgets, rates, runs and guards did to requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.ledger.budgets import CAPACITY
from gateway.telemetry.events import LimitNoticed, LoopFound
from gateway.telemetry.labels import Label, Owner, Owners
from gateway.telemetry.names import AGENT
from gateway.telemetry.series import WAIT_MS, Histogram, Key, Tally, forget

if TYPE_CHECKING:
    from gateway.telemetry import exposition


class LimitCounts:
    """The part of `gateway.telemetry.metrics.Metrics` about what was held back."""

    def __init__(self, labels: Mapping[str, Label], owners: Owners) -> None:
        self._labels = labels
        self._owners = owners
        self._limits = Tally(*AGENT, "kind", "limit", "reason")
        self._loops = Tally(*AGENT, "kind", "action")
        self._waits: dict[Key, Histogram] = {}
        self._declared: frozenset[str] = frozenset()
        self.handlers: dict[type, Callable[[Any], None]] = {LimitNoticed: self._noticed, LoopFound: self._loop_found}

    def set_known(self, limits: Iterable[str]) -> None:
        """Declare the names of budgets and rate limits."""
        self._declared = frozenset((*limits, CAPACITY))
        self._labels["limit"].set_known(self._declared)

    def _noticed(self, event: LimitNoticed) -> None:
        owner = self._owners.of(event.agent)
        # The key of a run's own limit names the run, which is no label.
        limit = self._labels["limit"].value(event.rule) if event.rule in self._declared else ""
        self._limits.add((*owner, event.kind, limit, event.reason))
        if event.kind == "waited":
            self._waits_of(owner).observe(event.waited_s * 1000)

    def _waits_of(self, owner: Owner) -> Histogram:
        found = self._waits.get(owner)
        if found is None:
            found = self._waits[owner] = Histogram(WAIT_MS)
        return found

    def _loop_found(self, event: LoopFound) -> None:
        self._loops.add((*self._owners.of(event.agent), event.kind, event.action))

    def forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        self._limits.forget(label, value)
        self._loops.forget(label, value)
        forget(self._waits, AGENT, label, value)  # type: ignore[arg-type]  # only keys are looked at

    def copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows, in the unit we count in."""
        yield "limits_total", self._limits.copy()
        yield "queue_wait_seconds", [(key, each.freeze()) for key, each in self._waits.items()]
        yield "loops_total", self._loops.copy()
