"""Gateways and a simulated provider as processes of their own: to be killed, stopped, filled up and started again.

The judge is the provider's own bill, a file that outlives everybody.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import httpx
from typer.testing import CliRunner

from gateway.cli import app
from gateway.pricing import cache as prices
from tests.integration.gateway import ENVIRONMENT

LIMIT_S = 60.0
"""No wait of a test is longer: it fails then."""
ADMIN = {"authorization": f"Bearer {ENVIRONMENT['ADMIN_KEY']}"}
NANO = 1_000_000_000


class Billed(NamedTuple):
    """A generation, as the provider bills it."""

    request_id: str
    cost: int
    outcome: str


class Line(NamedTuple):
    """A budget's counter, in nano-USD."""

    limit: int
    posted: int
    reserved: int


async def until(satisfied: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(LIMIT_S):
        while not satisfied():
            await asyncio.sleep(0.005)


class Provider:
    """A simulated provider that never waits, unless a fault tells it to."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "bill.jsonl"
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.simulator", "--port", "0", "--speed", "0", "--bill", str(self.file),
            "--while-stdin", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            greeting = (await self._process.stdout.readline()).decode()
        self.url = greeting.split(" on ")[1].split()[0]

    async def state(self) -> dict[str, Any]:
        """Its bill as it is."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(self.url.replace("/v1", "/sim/bill"))
            return dict(answer.json())

    async def at_rest(self) -> list[Billed]:
        """The whole bill, once nothing is being generated any more."""
        async with asyncio.timeout(LIMIT_S):
            while (await self.state())["open"]:
                await asyncio.sleep(0.01)
        return self.billed()

    def billed(self) -> list[Billed]:
        """The bill by now."""
        if not self.file.exists():
            return []
        records = [json.loads(line) for line in self.file.read_text().splitlines()]
        return [Billed(each["caller_id"], each["cost_nano_usd"], each["outcome"]) for each in records]

    async def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class Gateway:
    """`farebox serve` on one configuration and one storage folder; it lives many times."""

    _prices: ClassVar[bytes] = b""
    """The compiled price table: made by the first start of all, which takes a second."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.file = folder / "config.yaml"
        self.log = folder / "gateway.log"
        self.state = Path(config["storage"]["dir"])
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        self.configure(config)

    def configure(self, config: dict[str, Any]) -> None:
        """Write the configuration."""
        self.config = config
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(config))  # JSON is YAML
        new.rename(self.file)

    async def spawn(self, **environ: str) -> None:
        """Begin to start."""
        if self._prices and not self.state.exists():
            self.state.mkdir(mode=0o700)
            (self.state / prices.file_name()).write_bytes(self._prices)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.cli", "serve", "--config", str(self.file), "--port", "0",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                env={**os.environ, **ENVIRONMENT, **environ},
            )  # fmt: skip

    async def is_up(self) -> bool:
        """Whether a process that was spawned serves in the end; False when it is gone."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            greeting = (await self.process.stdout.readline()).decode()
            found = re.search(r"http://\S+(?=/v1)", greeting)
            if found is None:
                await self.process.wait()
                return False
        self.url = found.group()
        if not Gateway._prices:
            Gateway._prices = (self.state / prices.file_name()).read_bytes()
        return True

    async def start(self, **environ: str) -> None:
        """Start and wait until it serves."""
        await self.spawn(**environ)
        if not await self.is_up():
            raise AssertionError(f"it did not start: {self.words()}")

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The latest life."""
        assert self._process is not None
        return self._process

    def words(self) -> str:
        """All that it has logged."""
        return self.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._process is not None:
            await self._process.wait()

    async def terminate(self) -> int:
        """End it in good order; the exit status."""
        self.signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            return await self.process.wait()

    # --- what it says ---

    async def admin(self, path: str) -> Any:
        """GET below /admin/v1."""
        async with httpx.AsyncClient(headers=ADMIN, timeout=LIMIT_S) as client:
            answer = await client.get(f"{self.url}/admin/v1/{path}")
            assert answer.status_code == 200, answer.text
            return answer.json()

    async def budgets(self) -> dict[str, Line]:
        """By scope."""
        lines = {}
        for each in (await self.admin("budgets"))["data"]:
            amounts = (int(Decimal(each[f"{name}_usd"]) * NANO) for name in ("limit", "posted", "reserved"))
            lines[each["scope"]] = Line(*amounts)
        return lines

    async def counted(self, *metrics: str) -> int:
        """The sum of metrics about money, in nano-USD."""
        async with httpx.AsyncClient(headers=ADMIN, timeout=LIMIT_S) as client:
            lines = (await client.get(f"{self.url}/metrics")).text.splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.partition("{")[0] in metrics]
        return round(sum(map(Decimal, found), Decimal(0)) * NANO)

    async def ready(self) -> dict[str, Any]:
        """/readyz."""
        async with httpx.AsyncClient(timeout=LIMIT_S) as client:
            return dict((await client.get(f"{self.url}/readyz")).json())

    async def settled(self) -> dict[str, Line]:
        """The budgets, once nothing is reserved any more."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                lines = await self.budgets()
                if not any(line.reserved for line in lines.values()):
                    return lines
                await asyncio.sleep(0.01)

    async def verify(self) -> None:
        """`farebox verify --json`: every counter is what the journal says."""
        environment = {"FAREBOX_ADMIN_KEY": ENVIRONMENT["ADMIN_KEY"], "FAREBOX_URL": self.url}
        done = await asyncio.to_thread(CliRunner().invoke, app, ["verify", "--json"], env=environment)
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["ok"], found
        assert found["differences"] == []
        assert found["compared"] > 0

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What is in the journal by now."""
        database = sqlite3.connect(self.state / "journal.db", timeout=LIMIT_S)
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute(f"SELECT * FROM {table} ORDER BY rowid")]
        finally:
            database.close()


def judge(gateway: Gateway, billed: list[Billed], served: set[str]) -> Counter[str]:
    """Each generation has its charge, of at least its cost; the resolutions there are."""
    charges = {row["request_id"]: row for row in gateway.rows("charges")}
    for each in billed:
        assert each.request_id in charges, f"nobody is charged for {each}"
        charge = charges[each.request_id]
        assert charge["cost_nano_usd"] >= each.cost, (each, charge)
        if not charge["estimated"]:
            assert charge["cost_nano_usd"] == each.cost, (each, charge)
    assert served <= charges.keys(), "somebody saw a byte of an answer that has no charge"
    assert all(row["cost_nano_usd"] <= row["reserved_nano_usd"] for row in charges.values()), "an overrun"
    requests = {row["request_id"] for row in gateway.rows("requests")}
    assert charges.keys() <= requests
    return Counter(row["resolution"] for row in charges.values())
