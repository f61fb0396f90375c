"""A memory store with a journal, and the ways in which it can end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from gateway.config.snapshot import Agent, StorageSettings
from gateway.journal.spend import spent
from gateway.journal.writer import Journal
from gateway.ledger.budgets import Budget
from gateway.ledger.claiming import claim_of
from gateway.ledger.operations import Amounts, Bid, Claim, Granted, Origin, Refused, Ticket
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.store.memory import MemoryStore
from gateway.store.seeding import labels_of, values_of
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd
from tests.gateway.snapshots import snapshot_of
from tests.gateway.store.samples import NOON_S, charge, origin

BUDGETS = (
    Budget("all", Scope("global"), NanoUsd(10_000), Window("total")),
    Budget("team", Scope("team", "search"), NanoUsd(5_000), Window("hour")),
    Budget("users", Scope("user", "*"), NanoUsd(3_000), Window("day")),
    Budget("lately", Scope("agent", "researcher"), NanoUsd(4_000), Window("rolling", length_s=600)),
)


class World:
    """Time, a storage directory, a configuration, and the store that lives there now."""

    def __init__(self, directory: Path, budgets: Iterable[Budget] = BUDGETS) -> None:
        self.wall_s = NOON_S
        self.monotonic_s = 1_000.0
        self.snapshot = snapshot_of(
            storage=StorageSettings(dir=directory / "state", flush_interval_s=3600, store_timeout_s=60.0),
            agents={"researcher": Agent("researcher", "search", "acme")},
            budgets=tuple(budgets),
            limits_version=1,
        )
        self.journal: Journal
        self.store: MemoryStore

    @property
    def directory(self) -> Path:
        return self.snapshot.storage.dir

    async def start(self) -> MemoryStore:
        self.journal = await Journal.open(self.snapshot.storage)
        try:
            self.store = await MemoryStore.open(
                self.snapshot, self.journal, wall=lambda: self.wall_s, monotonic=lambda: self.monotonic_s
            )
        except BaseException:
            await self.journal.close()
            raise
        return self.store

    async def stop(self) -> None:
        await self.store.close()
        await self.journal.close()

    async def kill(self) -> None:
        """As `kill -9`: nothing that waits is written anywhere, and the kernel lets go of the lock."""
        store, journal = self.store, self.journal
        for task in (store._upkeep, store._force._task, journal._task):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        for timer in (store._keeper._timer, journal._timer):
            if timer is not None:
                timer.cancel()
        journal._closed = True
        os.close(store._log._descriptor)
        store._lock.release()
        await journal._disconnect()
        await journal.database.close()

    async def restart(self) -> MemoryStore:
        await self.kill()
        return await self.start()

    def pass_time(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds

    def use(self, *budgets: Budget) -> None:
        """Reload with these budgets."""
        version = self.snapshot.limits_version + 1
        self.snapshot = replace(self.snapshot, budgets=budgets, limits_version=version)
        self.store.use(self.snapshot)

    # --- attempts ---

    def claims(self, of: Origin) -> tuple[Claim, ...]:
        snapshot, now_s = self.snapshot, self.store.now_s()
        return tuple(
            claim_of(budget, value, now_s, snapshot.limits_version)
            for budget in snapshot.budgets
            for value in values_of(budget, labels_of(of))
        )

    def ticket(self, request: str, money: int = 1_000, *, attempt: int = 1, user: str = "bob") -> Ticket:
        of = origin(request, attempt=attempt)._replace(user=user)
        amounts = Amounts(money, 40)
        return Ticket(f"{request}.{attempt}", (Bid(self.claims(of), (), amounts, amounts, amounts, 40, of),))

    async def admit(self, request: str, money: int = 1_000, *, user: str = "bob") -> Granted | Refused:
        return await self.store.admit(self.ticket(request, money, user=user))

    def settle(self, request: str, cost: int = 250, *, user: str = "bob", at_s: float | None = None) -> ChargePosted:
        """What an exchange does: the store hears of the charge, and the journal."""
        posted = charge(request, cost, window_at_s=self.store.now_s() if at_s is None else at_s)._replace(user=user)
        self.store.settle(posted.charge_id, Amounts(cost, 30), posted)
        self.journal.write((posted,))
        return posted

    # --- the books ---

    async def counter(self, budget: str, value: str) -> tuple[int, int]:
        """Posted and reserved, in the present window."""
        found = next(each for each in self.snapshot.budgets if each.id == budget)
        key = claim_of(found, value, self.store.now_s(), 0).key
        states = await self.store.counters([key])
        return (states[0].posted, states[0].reserved) if states else (0, 0)

    async def differences(self) -> list[str]:
        """Counters that are not what the journal says."""
        await self.journal.flush()
        now_s = self.store.now_s()
        found = []
        for budget in self.snapshot.budgets:
            span = budget.window.at(now_s)
            past = await spent(self.journal.database, budget, span, now_s)
            states = await self.store.counters()
            prefix, suffix = f"b|{budget.id}|", f"|{span.id}"
            held = {s.key: s.posted for s in states if s.key.startswith(prefix) and s.key.endswith(suffix)}
            for value, posted in past.items():
                total = posted if isinstance(posted, int) else sum(posted.values())
                if held.pop(claim_of(budget, value, now_s, 0).key, 0) != total:
                    found.append(f"{budget.id} {value}: journal {total}")
            found += [f"{key}: {posted}, journal 0" for key, posted in held.items() if posted]
        return found
