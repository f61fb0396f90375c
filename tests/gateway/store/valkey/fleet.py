"""Gateways' stores in one process, on a real Valkey and a real PostgreSQL, and the questions that audit them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import Database
from gateway.journal.tables import adjustments, charges, stores
from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Amounts, Bid, Claim, Granted, Origin, Refused, Ticket, Unit
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import scripts
from gateway.store.valkey.client import Client
from gateway.store.valkey.keeper import Keeper
from gateway.store.valkey.seeder import JournalSeeder
from gateway.store.valkey.store import ValkeyStore
from routing.money import NanoUsd
from tests.gateway.store.valkey import samples
from tests.gateway.store.valkey.samples import DEADLINE_S

INSTALLATION = "test"
LIMIT = 1_000
KEY = "b|team|research|total"
BUDGET = Budget("team", Scope("team", "research"), NanoUsd(LIMIT), Window("total"))


class Node:
    """One gateway's store and what looks after it."""

    def __init__(self, engine: AsyncEngine, url: str, owner: str, dead_after_s: float = 10.0) -> None:
        self.owner = owner
        self.engine = engine
        self.client = Client(url, 0.5, scripts.ALL)
        seeder = JournalSeeder(engine, INSTALLATION, lambda: [BUDGET], lambda: 0.0)
        self.store = ValkeyStore(self.client, INSTALLATION, owner, seeder)
        seeder.now_s = self.store.now_s
        self.keeper = Keeper(self.store, engine, INSTALLATION, beat_s=0.05, dead_after_s=dead_after_s)
        self.handed_over: dict[str, int] = {}
        """What each attempt was settled with."""

    async def ready(self) -> None:
        await samples.until(lambda: self.store.halted is None)

    async def admit(self, name: str, money: int = 100) -> Granted | Refused:
        """Admit an attempt as soon as the store is there."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return await self.store.admit(ticket(name, money))
                except StoreUnavailable:
                    await asyncio.sleep(0.01)

    def settle(self, name: str, cost: int) -> None:
        self.handed_over[f"{name}.1"] = cost
        charge = samples.charge(name, cost)._replace(org="acme", team="research", agent="researcher")
        granted = self.store.pending[f"{name}.1"][1] if f"{name}.1" in self.store.pending else None
        at_s = charge.at_s if granted is None else granted.at_s
        self.store.settle(f"{name}.1", Amounts(cost, 0), charge._replace(window_at_s=at_s))

    async def applied(self) -> None:
        """Return when the store has all that was handed over."""
        await samples.until(lambda: not self.store.unacknowledged)

    async def close(self) -> None:
        await self.keeper.close()
        await self.store.close()


def ticket(name: str, money: int = 100) -> Ticket:
    claims = (Claim(KEY, Unit.MONEY, LIMIT, 1, "team:research"),)
    amounts = Amounts(money, 0)
    origin = Origin(name, 1, "acme", "research", "researcher", "", None, (), "m", "d", "p", "up", False)
    return Ticket(f"{name}.1", (Bid(claims, (), amounts, amounts, amounts, 0, origin),))


class Fleet:
    """Nodes on one Valkey and one PostgreSQL."""

    def __init__(self, database: Database, url: str) -> None:
        self.engine = database.engine
        self.url = url
        self.nodes: list[Node] = []
        self._probes = 0

    async def start(self, owner: str, dead_after_s: float = 10.0) -> Node:
        node = Node(self.engine, self.url, owner, dead_after_s)
        self.nodes.append(node)
        node.keeper.start()
        await node.ready()
        return node

    async def standing(self) -> Any:
        async with self.engine.connect() as connection:
            return (await connection.execute(select(stores))).one()

    async def posted(self) -> int:
        """What the journal says was spent."""
        async with self.engine.connect() as connection:
            query = select(func.coalesce(func.sum(charges.c.cost_nano_usd), 0))
            spent = await connection.scalar(query.where(charges.c.resolution != "released"))
            entries = await connection.scalar(select(func.coalesce(func.sum(adjustments.c.amount_nano_usd), 0)))
        return int(spent or 0) + int(entries or 0)

    async def rows(self, sql: str) -> list[Any]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(sql))]

    async def drained(self) -> None:
        """Return when the journal has everything that the stream ever had."""
        for node in self.nodes:
            await node.applied()
        await self.nodes[0].keeper.drain.catch_up()

    async def audit(self, node: Node, reserved: int = 0) -> None:
        """The counter, asked of Valkey, equals the journal; it and what is reserved stay within the limit."""
        self._probes += 1
        await node.admit(f"probe{self._probes}", 0)  # the counter may not be there: it is now
        node.store.release(f"probe{self._probes}.1")
        await self.drained()
        (state,) = await node.store.counters([KEY])
        assert (state.posted, state.reserved) == (await self.posted(), reserved)
        assert state.posted + state.reserved <= state.limit

    async def close(self) -> None:
        for node in self.nodes:
            await node.close()


@asynccontextmanager
async def fleet(folder: Path, postgres_url: str, valkey_url: str) -> AsyncIterator[Fleet]:
    database = await Database.open(StorageSettings(dir=folder, journal_url=postgres_url))
    found = Fleet(database, valkey_url)
    try:
        yield found
    finally:
        await found.close()
        await database.close()
