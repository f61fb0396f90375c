"""How long a store takes to answer those who wait for it, and how often it does not: for metrics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from gateway.ledger.operations import (
    Amounts,
    CounterState,
    Extension,
    Granted,
    Opening,
    Refused,
    Run,
    RunRefused,
    Ticket,
)
from gateway.store.protocol import Store, StoreUnavailable
from gateway.telemetry.series import STORE_MS, Histogram, Tally

if TYPE_CHECKING:
    from gateway.telemetry.exposition import Rows

_T = TypeVar("_T")
_OPERATIONS = ("admit", "extend", "open_run", "run", "change_run", "counters")


class TimedStore:
    """A `Store` that passes everything on to another one and takes the time of what is waited for."""

    def __init__(self, store: Store, is_up: Callable[[], bool]) -> None:
        """`is_up` tells whether the store can be asked now."""
        self._store = store
        self._is_up = is_up
        self._times = {name: Histogram(STORE_MS) for name in _OPERATIONS}
        self._errors = Tally("operation")
        for name in _OPERATIONS:
            self._errors.add((name,), 0)
        self.now_s = store.now_s
        self.on_room = store.on_room
        self.settle = store.settle
        self.release = store.release
        self.close = store.close
        self.runs = store.runs
        self.adjust = store.adjust

    async def admit(self, ticket: Ticket) -> Granted | Refused:
        """As the store does."""
        return await self._time("admit", self._store.admit(ticket))

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        """As the store does."""
        return await self._time("extend", self._store.extend(reservation, more))

    async def open_run(self, opening: Opening) -> Run | RunRefused:
        """As the store does."""
        return await self._time("open_run", self._store.open_run(opening))

    async def run(self, run: str) -> Run | None:
        """As the store does."""
        return await self._time("run", self._store.run(run))

    async def close_run(self, run: str, reason: str) -> Run | None:
        """As the store does."""
        return await self._time("change_run", self._store.close_run(run, reason))

    async def pause_run(self, run: str, reason: str) -> Run | None:
        """As the store does."""
        return await self._time("change_run", self._store.pause_run(run, reason))

    async def resume_run(self, run: str) -> Run | None:
        """As the store does."""
        return await self._time("change_run", self._store.resume_run(run))

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        """As the store does."""
        return await self._time("counters", self._store.counters(keys))

    async def _time(self, operation: str, answer: Awaitable[_T]) -> _T:
        began_s = time.perf_counter()
        try:
            found = await answer
        except StoreUnavailable:
            self._errors.add((operation,))
            raise
        self._times[operation].observe((time.perf_counter() - began_s) * 1000)
        return found

    def copy(self) -> Iterator[tuple[str, Rows]]:
        """What has been counted, as metrics: times in milliseconds."""
        yield "store_up", [((), self._is_up())]
        yield "store_operation_seconds", [((name,), each.freeze()) for name, each in self._times.items()]
        yield "store_errors_total", self._errors.copy()
