"""The memory store against the model of all stores."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import settings

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
from tests.gateway.store.machine import Adapter, StoreMachine
from tests.gateway.store.memory_world import World
from tests.gateway.store.samples import charge


class MemoryAdapter:
    """Drives a memory store, with its log and journal, from outside its loop."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp())
        self._loop = asyncio.new_event_loop()
        self._run = self._loop.run_until_complete
        self._world = World(self._directory, ())
        self._store = self._run(self._world.start())

    def now_s(self) -> float:
        return self._store.now_s()

    def advance(self, seconds: float) -> None:
        self._world.pass_time(seconds)
        self._run(self._store._tidy())

    def admit(self, ticket: Ticket) -> Granted | Refused:
        return self._run(self._store.admit(ticket))

    def extend(self, id: str, more: Amounts) -> Extension:
        return self._run(self._store.extend(id, more))

    def settle(self, id: str, spent: Amounts) -> None:
        self._store.settle(id, spent, charge(id, spent.money))

    def release(self, id: str) -> None:
        self._store.release(id)

    def orphan(self, id: str) -> None:
        self._store._book.orphan(id, self.now_s())

    def open_run(self, opening: Opening) -> Run | RunRefused:
        return self._run(self._store.open_run(opening))

    def run(self, run: str) -> Run | None:
        return self._run(self._store.run(run))

    def close_run(self, run: str, reason: str) -> None:
        self._run(self._store.close_run(run, reason))

    def pause_run(self, run: str, reason: str) -> None:
        self._run(self._store.pause_run(run, reason))

    def resume_run(self, run: str) -> None:
        self._run(self._store.resume_run(run))

    def adjust(self, key: str, amount: int, entry: str) -> CounterState | None:
        return self._run(self._store.adjust(key, amount, entry))

    def set_limit(self, key: str, limit: int, version: int) -> None:
        self._store._book.set_limit(key, limit, version)

    def counters(self, keys: Sequence[str]) -> Sequence[CounterState]:
        return self._run(self._store.counters(keys))

    def close(self) -> None:
        self._run(self._world.stop())
        self._loop.close()
        shutil.rmtree(self._directory)


class MemoryMachine(StoreMachine):
    def adapter(self) -> Adapter:
        return MemoryAdapter()


TestMemoryStore = MemoryMachine.TestCase
TestMemoryStore.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
