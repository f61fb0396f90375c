"""Virtual time passes as it should, and nothing real comes in."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.simulation.loop import MONOTONIC_START_S, WALL_START_S, run_virtual


def test_time_jumps_to_the_next_timer() -> None:
    order = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((seconds, time.monotonic() - MONOTONIC_START_S, time.time() - WALL_START_S))

    async def main() -> None:
        await asyncio.gather(sleeper(3600), sleeper(0.5), sleeper(7))

    run_virtual(main())
    assert [each[0] for each in order] == [0.5, 7, 3600]
    for seconds, monotonic_s, wall_s in order:
        assert monotonic_s == pytest.approx(seconds)
        assert wall_s == pytest.approx(seconds, abs=1e-5)


def test_the_real_clocks_come_back() -> None:
    before = time.time, time.monotonic

    async def main() -> None:
        await asyncio.sleep(1)

    run_virtual(main())
    assert (time.time, time.monotonic) == before


def test_waiting_for_nothing_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="everything waits"):
        run_virtual(main())


def test_threads_are_refused() -> None:
    async def main() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(RuntimeError, match="thread"):
        run_virtual(main())
