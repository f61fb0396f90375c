from __future__ import annotations

import asyncio

from gateway.upstream.deadline import NEVER, Deadline
from tests.gateway.upstream.conftest import warp

LOOPS = ("warp",)


async def test_it_expires_once_at_its_latest_setting() -> None:
    loop = asyncio.get_running_loop()
    expired: list[float] = []
    deadline = Deadline(loop, lambda: expired.append(loop.time()))
    start = loop.time()
    deadline.set(start + 10)
    running = deadline._handle
    deadline.set(start + 30)
    assert deadline._handle is running
    await warp(11)
    assert expired == []
    await warp(20)
    assert len(expired) == 1
    await warp(100)
    assert len(expired) == 1


async def test_it_can_be_moved_nearer_and_cancelled() -> None:
    loop = asyncio.get_running_loop()
    expired: list[None] = []
    deadline = Deadline(loop, lambda: expired.append(None))
    deadline.set(loop.time() + 100)
    deadline.set(loop.time() + 1)
    await warp(2)
    assert len(expired) == 1
    deadline.set(loop.time() + 1)
    deadline.cancel()
    await warp(2)
    deadline.set(loop.time() + 1)
    deadline.set(NEVER)
    await warp(2)
    assert len(expired) == 1
    assert deadline._handle is None
