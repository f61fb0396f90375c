"""The Valkey store as the state machine drives it: on a real server, with a clock that only the machine moves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import redis

from gateway.ledger.operations import (
    Amounts,
    Claim,
    CounterState,
    Extension,
    Granted,
    Opening,
    Refused,
    Run,
    RunRefused,
    Ticket,
)
from gateway.store.valkey import scripts
from gateway.store.valkey.client import Client
from gateway.store.valkey.seeding import Seeds
from gateway.store.valkey.store import ValkeyStore
from tests.gateway.store.valkey.values import charge

START_S = 2_000_000_000.0
"""Later than the server's own clock: the store's time never goes back, so it stands still here until it is moved."""
T = TypeVar("T")


class NothingPosted:
    """Makes every missing counter as an empty one: attempts of the machine count only in the scopes they name.

    The machine's stores know no counter before something is granted in it: its limit is that of the first grant.
    """

    def __init__(self, server: redis.Redis) -> None:
        self.server = server

    async def seed(self, claims: Sequence[Claim]) -> Seeds:
        for claim in claims:
            fields: dict[Any, Any] = {"unit": int(claim.unit), "scope": claim.scope, "posted": 0}
            fields |= {"limit": 0, "version": -1, "room": 0}
            if claim.bucket_s:
                fields |= {"bucket": claim.bucket_s, "first": 0}
            self.server.hset(f"{{machine}}:c:{claim.key}", mapping=fields)
            self.server.sadd("{machine}:counters", claim.key)
        return Seeds("0-0", [{} if claim.bucket_s else 0 for claim in claims])


class Driver:
    """An adapter of `tests.gateway.store.machine`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str) -> None:
        self.server = redis.Redis.from_url(url.replace("valkey://", "redis://"))
        self.server.flushall()
        self.loop = loop
        self.at_s = START_S
        self.granted: set[str] = set()
        """Keys of counters that the machine takes for known."""
        self._move()
        self.server.hset("{machine}:meta", "epoch", "1")
        self.store = self.wait(self._open(url))

    async def _open(self, url: str) -> ValkeyStore:
        client = Client(url, 5.0, scripts.ALL)
        await client.ready()
        store = ValkeyStore(client, "machine", "gateway", NothingPosted(self.server))
        store.resume("1")
        return store

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def _move(self) -> None:
        self.server.hset("{machine}:meta", "now", str(int(self.at_s * 1e6)))

    def now_s(self) -> float:
        return self.at_s

    def advance(self, seconds: float) -> None:
        self.at_s += seconds
        self._move()
        self.beat()

    def beat(self) -> None:
        self.wait(self.store.call(scripts.BEAT, "gateway", 100, 10_000_000))

    def admit(self, ticket: Ticket) -> Granted | Refused:
        found = self.wait(self.store.admit(ticket))
        if isinstance(found, Granted):
            self.granted.update(claim.key for claim in ticket.bids[found.bid].claims)
        return found

    def extend(self, id: str, more: Amounts) -> Extension:
        return self.wait(self.store.extend(id, more))

    def settle(self, id: str, spent: Amounts) -> None:
        self.store.settle(id, spent, charge(id, spent))
        self.wait(self.store.flush())

    def release(self, id: str) -> None:
        self.store.release(id)
        self.wait(self.store.flush())

    def orphan(self, id: str) -> None:
        """It belongs to a gateway that was last heard of long ago."""
        if self.server.smove("{machine}:o:gateway", "{machine}:o:lost", id):
            self.server.hset(f"{{machine}}:r:{id}", "owner", "lost")
            self.server.zadd("{machine}:owners", {"lost": 0})
            self.beat()

    def open_run(self, opening: Opening) -> Run | RunRefused:
        found = self.wait(self.store.open_run(opening))
        if isinstance(found, Run):
            self.granted.update(claim.key for claim in opening.carve_claims)
        return found

    def run(self, run: str) -> Run | None:
        return self.wait(self.store.run(run))

    def close_run(self, run: str, reason: str) -> None:
        self.wait(self.store.close_run(run, reason))

    def pause_run(self, run: str, reason: str) -> None:
        self.wait(self.store.pause_run(run, reason))

    def resume_run(self, run: str) -> None:
        self.wait(self.store.resume_run(run))

    def adjust(self, key: str, amount: int, entry: str) -> CounterState | None:
        return self.wait(self.store.adjust(key, amount, entry)) if key in self.granted else None

    def set_limit(self, key: str, limit: int, version: int) -> None:
        if key in self.granted:
            self.wait(self.store.set_limit(key, limit, version))

    def counters(self, keys: Sequence[str]) -> Sequence[CounterState]:
        return self.wait(self.store.counters([key for key in keys if key in self.granted or not key.startswith("b|")]))

    def close(self) -> None:
        self.wait(self.store.close())
        self.server.close()
