"""The store of many gateways, put together: counters in Valkey, its keeper, allowances for the time without it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from gateway.config.snapshot import Snapshot
from gateway.journal.database import Database
from gateway.ledger.budgets import Budget
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
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import scripts
from gateway.store.valkey.allowance import Allowances
from gateway.store.valkey.breakers import SharedBreakers
from gateway.store.valkey.client import Client
from gateway.store.valkey.keeper import BEAT_S, Keeper
from gateway.store.valkey.link import BEATS
from gateway.store.valkey.seeder import JournalSeeder
from gateway.store.valkey.store import ValkeyStore
from gateway.telemetry.events import ChargePosted, OrphanReturned
from gateway.upstream.health import UpstreamHealth

_log = logging.getLogger("farebox.store")

READY_S: Final = 30.0
"""How long a start waits for an epoch. It goes on without one: the store may come later."""


class SharedStore:
    """Implements `gateway.store.protocol.Store`. Its charges reach the journal through Valkey's stream, and only so."""

    shared = True

    def __init__(self, snapshot: Snapshot, database: Database, owner: str) -> None:
        """`owner` names this process among all that ever run. Raises ValueError for a URL that is none, OSError."""
        storage = snapshot.storage
        self._budgets: dict[str, Budget] = {budget.id: budget for budget in snapshot.budgets}
        self._max_lag_s = storage.max_lag_s
        self._loads: set[asyncio.Task[None]] = set()
        client = Client(storage.valkey_url or "", storage.store_timeout_s, scripts.ALL)
        seeder = JournalSeeder(database.engine, storage.installation, self._budgets.values, lambda: 0.0)
        lost_after_s = storage.gateway_timeout_s
        self.valkey = ValkeyStore(client, storage.installation, owner, seeder, lost_after_s)
        seeder.now_s = self.now_s = self.valkey.now_s
        self.keeper = Keeper(
            self.valkey,
            database.engine,
            storage.installation,
            beat_s=min(BEAT_S, lost_after_s / BEATS),
            dead_after_s=lost_after_s,
        )
        self.allowances = Allowances(self.valkey, storage.dir, lambda: self._budgets)
        self.on_room = self.valkey.on_room
        self._orphans: list[ChargePosted | OrphanReturned] = []
        """Those that nobody asked for yet."""
        self.keeper.drain.on_orphans = self._orphans.extend
        self._installation = storage.installation
        self._breakers: SharedBreakers | None = None

    @classmethod
    async def open(cls, snapshot: Snapshot, database: Database, owner: str) -> Self:
        """Begin, and wait a while for the counters to be complete."""
        store = cls(snapshot, database, owner)
        store.keeper.start()
        try:
            async with asyncio.timeout(READY_S):
                await store.keeper.settled.wait()
        except TimeoutError:
            pass
        if store.valkey.halted is not None:
            _log.warning("the store is not there yet: %s", store.valkey.halted)
        return store

    def on_orphans(self, callback: Callable[[Sequence[ChargePosted | OrphanReturned]], None]) -> None:
        """Call this with the charges of lost gateways' attempts that this gateway brings into the journal."""
        orphans, self._orphans = self._orphans, []
        self.keeper.drain.on_orphans = callback
        callback(orphans)

    def use(self, snapshot: Snapshot) -> None:
        """Put a new configuration's budgets in force. Returns at once; limits change in the background."""
        before = dict(self._budgets)
        self._budgets.clear()
        self._budgets.update({budget.id: budget for budget in snapshot.budgets})
        changed = {
            name: int(budget.limit)
            for name, budget in self._budgets.items()
            if name in before and before[name].limit != budget.limit
        }
        if changed:
            task = asyncio.create_task(self._change(changed, snapshot.limits_version), name="limits")
            self._loads.add(task)
            task.add_done_callback(self._loads.discard)

    async def _change(self, limits: dict[str, int], version: int) -> None:
        """Every admission tells its limits too: this is for extensions, and for those who look."""
        try:
            for state in await self.valkey.counters():
                limit = limits.get(state.key.split("|", 2)[1]) if state.key.startswith("b|") else None
                if limit is not None:
                    await self.valkey.set_limit(state.key, limit, version)
        except StoreUnavailable as error:
            _log.warning("new limits reach the store with the next admissions only: %s", error)

    async def share(self, health: UpstreamHealth) -> None:
        """Tell other gateways of breakers here, and hear of theirs, from now on."""
        self._breakers = SharedBreakers(self.valkey.client, self._installation, health)
        await self._breakers.start()

    async def admit(self, ticket: Ticket) -> Granted | Refused:
        """Reserve the first bid that fits; while Valkey is away, in allowances. Raises StoreUnavailable."""
        lag_s = self.keeper.lag_s
        if lag_s > self._max_lag_s:
            raise StoreUnavailable(f"the journal is {lag_s:.0f} s behind the store")
        return await self.allowances.admit(ticket)

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        """Add to a pending reservation, all or nothing. Raises StoreUnavailable."""
        return await self.allowances.extend(reservation, more)

    def settle(self, reservation: str, spent: Amounts, charge: ChargePosted) -> None:
        """Post what was spent and give the rest back. Returns at once and is never lost."""
        self.allowances.settle(reservation, spent, charge)

    def release(self, reservation: str, charge: ChargePosted | None = None) -> None:
        """Give everything back: nothing can have been billed."""
        self.allowances.release(reservation, charge)

    async def open_run(self, opening: Opening) -> Run | RunRefused:
        """Open a run, or find it. Raises StoreUnavailable."""
        return await self.valkey.open_run(opening)

    async def run(self, run: str) -> Run | None:
        """A run as it stands, or None. Raises StoreUnavailable."""
        return await self.valkey.run(run)

    async def runs(self, *, state: str | None = None, limit: int = 100) -> Sequence[Run]:
        """The latest runs. Raises StoreUnavailable."""
        return await self.valkey.runs(state=state, limit=limit)

    async def close_run(self, run: str, reason: str) -> Run | None:
        """Close a run and its sub-runs. Raises StoreUnavailable."""
        return await self.valkey.close_run(run, reason)

    async def pause_run(self, run: str, reason: str) -> Run | None:
        """Refuse the run's next requests until it is resumed. Raises StoreUnavailable."""
        return await self.valkey.pause_run(run, reason)

    async def resume_run(self, run: str) -> Run | None:
        """Let a paused run go on. Raises StoreUnavailable."""
        return await self.valkey.resume_run(run)

    async def adjust(self, key: str, amount: int, entry: str) -> CounterState | None:
        """Post `amount` to a counter once for each `entry` id. Raises StoreUnavailable."""
        return await self.valkey.adjust(key, amount, entry)

    async def counters(self, keys: Sequence[str] | None = None) -> Sequence[CounterState]:
        """Counters by key, or all of them. Raises StoreUnavailable."""
        return await self.valkey.counters(keys)

    async def flush(self) -> None:
        """Have the journal hold what the store was told so far, as far as either answers within the time-out."""
        if self.valkey.halted is not None or not self.valkey.client.connected:
            return
        try:
            async with asyncio.timeout(self.valkey.client.timeout_s):
                await self.valkey.flush()
                await self.keeper.drain.catch_up()
        except Exception as error:  # noqa: BLE001 -- whatever a driver raises: who asks gets what the journal has
            _log.debug("not everything has reached the journal yet: %s", error)

    def status(self) -> dict[str, Any]:
        """How it stands, for people: `store` is `ok`, or `unavailable` and `store_error` says why."""
        valkey, keeper = self.valkey, self.keeper
        error = valkey.halted
        if not valkey.client.connected:
            error = valkey.client.last_error
        elif error is None and self.allowances.away:
            error = self.allowances.why or "it is not known yet whether the store is back"
        lag_s = keeper.lag_s
        if error is None and lag_s > self._max_lag_s:
            error = f"the journal is {lag_s:.0f} s behind the store"
        state: dict[str, Any] = {
            "store": "ok" if error is None else "unavailable",
            "store_epoch": int(valkey.epoch or 0),
            "store_lag_s": round(lag_s, 3),
            "store_unacknowledged": valkey.unacknowledged,
        }
        if error is not None:
            state["store_error"] = error
        return state

    async def close(self) -> None:
        """Give allowances back, have Valkey and the journal told of everything, as far as they are there, and stop."""
        for task in self._loads:
            task.cancel()
        if self._breakers is not None:
            await self._breakers.close()
        await self.allowances.close()
        try:
            async with asyncio.timeout(self.valkey.client.timeout_s):
                await self.valkey.flush()
                await self.keeper.drain.catch_up()
        except Exception as error:  # noqa: BLE001 -- whatever a driver raises: the next start carries on
            _log.warning("not everything has reached the journal yet, the next start carries on: %s", error)
        await self.keeper.close()
        await self.valkey.close()
