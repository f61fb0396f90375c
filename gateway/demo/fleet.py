"""Runs the scripts: every worker takes its next step until the time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import NamedTuple

from gateway.demo.agents import Role
from gateway.demo.client import AgentClient
from gateway.demo.steps import Pause, Script, Seen
from gateway.demo.tally import Tally

FINISH_S = 10.0
"""How long, at speed 1 or less, calls may take to finish when the time is over; then they are hung up on."""
SHORTEST_PAUSE_S = 0.05


class Member(NamedTuple):
    """An agent, its key, and where its calls are counted."""

    role: Role
    key: str
    tally: Tally


class Pace(NamedTuple):
    """How fast the agents think, and the sign to stop."""

    speed: float
    stopping: asyncio.Event


async def run_fleet(fleet: Sequence[Member], base_url: str, pace: Pace, seed: int) -> None:
    """Let all agents work until `pace.stopping` is set, then let them finish what they began, for a while."""
    async with AsyncExitStack() as stack:
        workers: set[asyncio.Task[None]] = set()
        for role, key, tally in fleet:
            client = await stack.enter_async_context(AgentClient(base_url, key))
            for number in range(1, role.workers + 1):
                dice = Random(f"{seed}/{role.name}/{number}")  # noqa: S311 -- variety, not secrets
                script = role.script(dice, number)
                workers.add(asyncio.create_task(_work(script, client, tally, pace)))
        try:
            await _until_stopped(workers, pace)
        finally:
            await _end(workers)


async def _until_stopped(workers: set[asyncio.Task[None]], pace: Pace) -> None:
    sign = asyncio.create_task(pace.stopping.wait())
    try:
        done, _ = await asyncio.wait({sign, *workers}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {sign}:
            task.result()  # a worker ends early only by an error of ours
        await asyncio.wait(workers, timeout=FINISH_S / max(1.0, pace.speed))
    finally:
        sign.cancel()


async def _end(workers: set[asyncio.Task[None]]) -> None:
    for worker in workers:
        worker.cancel()
    for outcome in await asyncio.gather(*workers, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def _work(script: Script, client: AgentClient, tally: Tally, pace: Pace) -> None:
    step = next(script)
    while not pace.stopping.is_set():
        if isinstance(step, Pause):
            await _pause(max(SHORTEST_PAUSE_S, step.seconds / pace.speed), pace.stopping)
            seen = Seen()
        else:
            tally.last = step.doing
            result = await client.do(step)
            tally.add(step.doing, result)
            seen = result.seen
        step = script.send(seen)


async def _pause(seconds: float, stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        pass  # the usual end of a pause
