"""A memory store with its journal, and attempts that spend in them: the world of tests about money and runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Self

from gateway.admission.claims import Rulebook
from gateway.config.snapshot import Agent, Snapshot, StorageSettings
from gateway.journal.writer import Journal
from gateway.ledger.budgets import Budget, RunLimits
from gateway.ledger.claiming import carve_id
from gateway.ledger.operations import Amounts, Bid, Granted, Origin, Run, Ticket
from gateway.ledger.scopes import Labels, Scope
from gateway.ledger.windows import Window
from gateway.reports.budgets import Books
from gateway.store.memory import MemoryStore
from gateway.telemetry.events import ChargePosted
from routing.money import NANO_PER_USD, NanoUsd, Usage
from tests.gateway.snapshots import snapshot_of

USD = NANO_PER_USD
NOW_S = 1_796_000_000.0  # 2026-11-30, 00:53:20 UTC
AGENTS = {
    "researcher": Agent("researcher", "research", "acme", run_limits=RunLimits(cost=NanoUsd(2 * USD), requests=50)),
    "writer": Agent("writer", "press", "acme"),
    "spy": Agent("spy", "agents", "elsewhere"),
}
BUDGETS = (
    Budget("all", Scope("global"), NanoUsd(100 * USD), Window("total")),
    Budget("monthly", Scope("agent", "researcher"), NanoUsd(10 * USD), Window("month")),
    Budget("people", Scope("user", "*"), NanoUsd(1 * USD), Window("day"), enforce=False, when_missing="shared"),
    Budget("lately", Scope("agent", "*"), NanoUsd(5 * USD), Window("rolling", length_s=3600)),
)


def snapshot(directory: Path, **changes: Any) -> Snapshot:
    """A configuration of three agents in two orgs, and four budgets."""
    made = snapshot_of(
        storage=StorageSettings(dir=directory, flush_interval_s=3600),
        agents=AGENTS,
        budgets=BUDGETS,
        limits_version=1,
    )
    return replace(made, **changes)


class World:
    """Money is spent here as the pipeline spends it."""

    def __init__(self, taken: Snapshot, journal: Journal, store: MemoryStore, clock: list[float]) -> None:
        self.snapshot = taken
        self.journal = journal
        self.store = store
        self.rulebook = Rulebook(taken)
        self.books = Books(store, lambda: journal.database, lambda event: journal.write([event]), journal.flush)
        self._clock = clock
        self._numbers: Iterator[int] = count(1)

    @classmethod
    async def open(cls, taken: Snapshot) -> Self:
        """Open the journal and the store. The clock stands still until `passes` moves it."""
        clock = [NOW_S, 0.0]
        journal = await Journal.open(taken.storage)
        store = await MemoryStore.open(taken, journal, wall=lambda: clock[0], monotonic=lambda: clock[1])
        return cls(taken, journal, store, clock)

    async def close(self) -> None:
        """Close the store and the journal."""
        await self.store.close()
        await self.journal.close()

    def configure(self, taken: Snapshot) -> None:
        """Put another configuration in force."""
        self.snapshot = taken
        self.rulebook = Rulebook(taken)
        self.store.use(taken)

    async def restart(self) -> None:
        """End in order, and begin anew with what is on the disk."""
        await self.close()
        clock, journal = self._clock, await Journal.open(self.snapshot.storage)
        store = await MemoryStore.open(self.snapshot, journal, wall=lambda: clock[0], monotonic=lambda: clock[1])
        self.journal, self.store = journal, store
        self.books = Books(store, lambda: journal.database, lambda event: journal.write([event]), journal.flush)

    def passes(self, seconds: float) -> None:
        """Time goes by."""
        self._clock[0] += seconds
        self._clock[1] += seconds

    async def reserve(
        self, amount: int, agent: str = "researcher", runs: tuple[Run, ...] = (), user: str | None = None
    ) -> tuple[Ticket, Granted]:
        """Reserve `amount` nano-USD for an attempt."""
        of = self.snapshot.agents[agent]
        path = tuple(run.id for run in runs)
        labels = Labels(of.org, of.team, of.id, "gpt", "openai", path, user)
        coverage = self.rulebook.coverage(of, labels, runs, metered=False, now_s=self.store.now_s())
        origin = Origin(
            f"req_{next(self._numbers)}", 1, of.org, of.team, of.id, ">".join(reversed(path)), user, (),
            "gpt", "openai/gpt", "openai", "gpt", False,
        )  # fmt: skip
        amounts = Amounts(amount, 100)
        bid = Bid(coverage.claims, coverage.rates, amounts, amounts, amounts, 100, origin)
        carved = next((run.id for run in runs if run.carve), None)
        ticket = Ticket(f"{origin.request_id}.1", (bid,), path, None if carved is None else carve_id(carved))
        granted = await self.store.admit(ticket)
        assert isinstance(granted, Granted), granted
        return ticket, granted

    def settle(self, reserved: tuple[Ticket, Granted], cost: int, *, written: bool = True) -> ChargePosted:
        """The attempt costs `cost`: the counters hear of it, and unless the charge is not `written` the journal."""
        ticket, granted = reserved
        origin = ticket.bids[0].origin
        window_at_s, own_s = granted.at_s, 0.0
        if ticket.via is not None:
            window_at_s = self.carved_at_s(ticket.runs)
            own_s = granted.at_s if granted.at_s != window_at_s else 0.0
        charge = ChargePosted(
            ticket.id, origin.request_id, 1, granted.at_s, origin.org, origin.team, origin.agent, origin.model,
            origin.deployment, origin.provider, origin.upstream_model, Usage(60, 40), "test", "default", NanoUsd(cost),
            False, False, "ok", "useful", 200, 1.0, None, origin.run_path, origin.user, origin.tags, window_at_s,
            reserved_at_s=own_s,
        )  # fmt: skip
        self.store.settle(ticket.id, Amounts(cost, 100), charge)
        if written:
            self.journal.write([charge])
        return charge

    def carved_at_s(self, path: tuple[str, ...]) -> float:
        """When the outermost carve of a path (nearest run first) was made."""
        found = (self.store._book.known_run(run) for run in reversed(path))
        return next(run.opened_at_s for run in found if run is not None and run.carve)

    async def spend(self, cost: int, **who: Any) -> None:
        """One whole attempt."""
        self.settle(await self.reserve(cost, **who), cost)
