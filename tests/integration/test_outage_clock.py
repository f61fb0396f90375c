"""The machine's clock steps, forward and back, under a gateway that serves: no window opens early, or again."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.callers import call, governed
from tests.integration.processes import Gateway, Provider, judge

CHECKOUT = Path(__file__).parents[2]
HALF_PAST_S = 1_803_904_200
"""A half past, years ahead: what the machine's own clock says is no matter."""
LIMIT_USD = "0.0003"
WARPED = """
import mmap, os, struct, time
memory = mmap.mmap(os.open(os.environ["CLOCKS"], os.O_RDONLY), 16, prot=mmap.PROT_READ)
wall, monotonic = time.time, time.monotonic
time.time = lambda: wall() + struct.unpack_from("d", memory, 0)[0]
time.monotonic = lambda: monotonic() + struct.unpack_from("d", memory, 8)[0]
"""
"""In the gateway's process: its clocks are the machine's, and what the test adds to them."""


class Clocks:
    """What a process takes for the time."""

    def __init__(self, folder: Path) -> None:
        file = folder / "clocks"
        file.write_bytes(struct.pack("dd", HALF_PAST_S - time.time(), 0.0))
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(WARPED)
        path = os.pathsep.join((str(folder / "site"), str(CHECKOUT)))
        self.environment = {"PYTHONPATH": path, "CLOCKS": str(file)}
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 16)

    def step(self, wall_s: float) -> None:
        """Somebody sets the clock."""
        self._add(0, wall_s)

    def go_on(self, seconds: float) -> None:
        """Time passes."""
        self._add(8, seconds)
        self._add(0, seconds)

    def _add(self, at: int, seconds: float) -> None:
        struct.pack_into("d", self._memory, at, struct.unpack_from("d", self._memory, at)[0] + seconds)


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    provider = Provider(tmp_path)
    await provider.start()
    yield provider
    await provider.stop()


async def spend(gateway: Gateway) -> int:
    """Call until the budget is spent: how many were served."""
    served = 0
    while (seen := await call(gateway.url, max_tokens=50)).status == 200:
        served += 1
    assert seen.code == "budget_exceeded", seen
    return served


async def test_steps_of_the_clock_open_no_window(provider: Provider, tmp_path: Path) -> None:
    clocks = Clocks(tmp_path)
    budgets = {"hourly": {"scope": "agent:tester", "limit_usd": LIMIT_USD, "window": "hour"}}
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "1", budgets=budgets))
    await gateway.start(**clocks.environment)
    try:
        assert await spend(gateway)
        clocks.step(7_200)
        assert not await spend(gateway), "a step has to be confirmed"
        clocks.step(-7_200)
        clocks.go_on(70)
        assert not await spend(gateway), "that was an error of the clock"
        clocks.step(7_200)
        assert not await spend(gateway)
        clocks.go_on(70)
        assert await spend(gateway), "two hours have passed indeed"
        clocks.step(-3 * 3_600)
        assert not await spend(gateway), "the hour before is over for good"
        await gateway.verify()
        await gateway.kill()
        await gateway.start(**clocks.environment)
        assert "the clock is" in gateway.words()
        assert not await spend(gateway), "after a start too"
        await gateway.settled()
        await gateway.verify()
        judge(gateway, await provider.at_rest(), set())
        hours: dict[int, int] = defaultdict(int)
        for row in gateway.rows("charges"):
            hours[row["window_at_us"] // 3_600_000_000] += row["cost_nano_usd"]
        assert len(hours) == 2
        assert all(spent <= 300_000 for spent in hours.values()), hours
    finally:
        await gateway.kill()
