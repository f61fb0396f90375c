"""Which time-outs run while a body is passed on: the upstream's own, and never for what the client is slow at."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config.snapshot import Timeouts
from gateway.upstream.pool import Pool
from gateway.upstream.transport import TimedOut
from gateway.wire.upload import Beginning
from tests.gateway.upstream.conftest import warp
from tests.gateway.upstream.raw_server import Peer, RawServer
from tests.gateway.upstream.test_feeding import Rest

LOOPS = ("warp",)
TIMES = Timeouts(connect_s=5, first_byte_s=20, idle_s=30, total_s=600)


async def silent(peer: Peer) -> None:
    await asyncio.Event().wait()


async def begun(rest: Rest) -> None:
    while not rest.asked:
        await asyncio.sleep(0)


async def test_a_slow_client_has_the_whole_calls_time(pool: Pool) -> None:
    async with RawServer(silent) as server:
        rest = Rest(gate=asyncio.Event())
        call = pool.start(server.endpoint(), b"POST", b"/x", b"", Beginning(b"abcd", rest, 60), timeouts=TIMES)
        answer = asyncio.ensure_future(call.response())
        await begun(rest)
        await warp(599)
        assert not answer.done()
        await warp(2)
        with pytest.raises(TimedOut) as caught:
            await answer
    assert (caught.value.phase, caught.value.sent) == ("total", False)


async def test_an_upstream_that_takes_nothing_has_its_idle_time(pool: Pool) -> None:
    async with RawServer(silent) as server:
        rest = Rest(bytes(64 * 1_048_576))
        call = pool.start(server.endpoint(), b"POST", b"/x", b"", Beginning(b"abcd", rest, None), timeouts=TIMES)
        answer = asyncio.ensure_future(call.response())
        await begun(rest)
        for _ in range(100):  # what the sockets' buffers take is progress
            await warp(29)
            if answer.done():
                break
        with pytest.raises(TimedOut) as caught:
            await answer
    assert (caught.value.phase, caught.value.sent) == ("idle", False)


async def test_after_the_last_byte_the_answer_has_its_time(pool: Pool) -> None:
    async with RawServer(silent) as server:
        rest = Rest(b"efgh")
        call = pool.start(server.endpoint(), b"POST", b"/x", b"", Beginning(b"abcd", rest, 8), timeouts=TIMES)
        answer = asyncio.ensure_future(call.response())
        while rest.asked < 2:
            await asyncio.sleep(0)
        await warp(0)
        await warp(21)
        with pytest.raises(TimedOut) as caught:
            await answer
    assert (caught.value.phase, caught.value.sent) == ("first_byte", True)
