"""Waiting for room: in order, bounded, without a trace."""

from __future__ import annotations

import asyncio

import pytest

from gateway.admission.queue import FairQueue, QueueFull


class Pot:
    """Something of which there is so much; takers wait for it in a line."""

    def __init__(self, queue: FairQueue) -> None:
        self.left = 0
        self.asked: list[str] = []
        self.served: list[str] = []
        self._queue = queue

    def add(self, amount: int) -> None:
        self.left += amount
        self._queue.wake()

    async def take(self, name: str, amount: int, wait_s: float = 60.0, max_waiting: int = 100) -> str | None:
        async def attempt() -> str | None:
            self.asked.append(name)
            if self.left < amount:
                return None
            self.left -= amount
            self.served.append(name)
            return name

        return await self._queue.wait("pot", attempt, wait_s, max_waiting)


async def settle() -> None:
    """Let every task run until all of them wait."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def queue() -> FairQueue:
    return FairQueue()


async def test_first_come_first_served_though_a_later_one_would_fit(queue: FairQueue) -> None:
    pot = Pot(queue)
    tasks = [asyncio.create_task(pot.take(name, amount)) for name, amount in (("large", 5), ("small", 1), ("mid", 2))]
    await settle()
    pot.add(4)
    await settle()
    assert pot.served == []
    pot.add(4)
    await asyncio.gather(*tasks)
    assert pot.served == ["large", "small", "mid"]


async def test_only_the_head_asks(queue: FairQueue) -> None:
    pot = Pot(queue)
    tasks = [asyncio.create_task(pot.take(name, 1)) for name in "abc"]
    await settle()
    pot.asked.clear()
    queue.wake()
    await settle()
    assert pot.asked == ["a"]
    pot.add(3)
    await asyncio.gather(*tasks)


async def test_a_cancelled_waiter_leaves_no_trace_and_the_next_is_served(queue: FairQueue) -> None:
    pot = Pot(queue)
    first, second = (asyncio.create_task(pot.take(name, amount)) for name, amount in (("first", 5), ("second", 1)))
    await settle()
    pot.add(2)
    await settle()
    first.cancel()
    assert await second == "second"
    with pytest.raises(asyncio.CancelledError):
        await first
    assert queue.waiting == 0
    assert queue.line_of(["pot"]) is None


async def test_a_wait_ends(queue: FairQueue) -> None:
    pot = Pot(queue)
    assert await pot.take("late", 1, wait_s=0.0) is None
    assert queue.line_of(["pot"]) is None


async def test_a_line_is_bounded(queue: FairQueue) -> None:
    pot = Pot(queue)
    waiting = asyncio.create_task(pot.take("a", 1, max_waiting=1))
    await settle()
    with pytest.raises(QueueFull):
        await pot.take("b", 1, max_waiting=1)
    pot.add(1)
    assert await waiting == "a"


async def test_a_line_that_may_hold_nobody_is_none(queue: FairQueue) -> None:
    pot = Pot(queue)
    with pytest.raises(QueueFull):
        await pot.take("a", 1, max_waiting=0)
    assert queue.line_of(["pot"]) is None
    pot.add(1)  # nobody to wake


async def test_a_failing_attempt_frees_the_line(queue: FairQueue) -> None:
    async def fail() -> str | None:
        raise OSError("store")

    with pytest.raises(OSError, match="store"):
        await queue.wait("pot", fail, 60.0, 10)
    assert queue.waiting == 0


async def test_what_comes_back_while_the_store_is_asked_is_not_missed(queue: FairQueue) -> None:
    asked = asyncio.Event()
    answer = asyncio.Event()
    calls = 0

    async def attempt() -> str | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            asked.set()
            await answer.wait()
            return None
        return "served"

    task = asyncio.create_task(queue.wait("pot", attempt, 60.0, 10))
    await asked.wait()
    queue.wake()
    answer.set()
    assert await task == "served"


async def test_the_head_polls_a_store_that_others_use_too() -> None:
    pot = Pot(FairQueue(polls=True))
    task = asyncio.create_task(pot.take("a", 1))
    await settle()
    pot.left = 1  # another gateway's settlement: nobody wakes us
    assert await task == "a"


def test_nobody_stands_in_a_line_that_nobody_waits_in(queue: FairQueue) -> None:
    assert queue.line_of(["pot", "other"]) is None
