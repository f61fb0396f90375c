"""Giving up a call in every phase, and whether the upstream notices."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.pool import Pool
from gateway.upstream.transport import Aborted, ConnectionBroken, Response
from tests.gateway.upstream.raw_server import Peer, RawServer, always_ok, eventually

LOOPS = ("asyncio", "uvloop")


async def test_aborted_while_waiting_for_a_connection(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_connections=1)
        busy = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        queued = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        await eventually(lambda: pool.stats().in_use == 1)
        assert pool.stats().waiting == 1
        waiting = asyncio.ensure_future(queued.response())
        await asyncio.sleep(0)
        queued.abort()
        with pytest.raises(Aborted) as caught:
            await waiting
        assert not caught.value.sent
        assert pool.stats().waiting == 0
        busy.abort()
        await server.all_gone()
        assert server.accepted == 1


async def test_aborted_while_connecting_lets_the_connection_join_the_pool(pool: Pool) -> None:
    async with RawServer() as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"{}")
        call.abort()
        with pytest.raises(Aborted) as caught:
            await call.response()
        assert not caught.value.sent
        await eventually(lambda: pool.stats().idle == 1)
        assert await (await pool.start(server.endpoint(), b"POST", b"/", b"", b"{}").response()).read() == b"ok"
        assert server.accepted == 1


async def test_aborted_while_waiting_for_the_answer(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"{}")
        waiting = asyncio.ensure_future(call.response())
        await eventually(lambda: pool.stats().in_use == 1)
        call.abort()
        with pytest.raises(Aborted) as caught:
            await waiting
        assert caught.value.sent
        await server.all_gone()
        assert pool.stats().open == 0
        call.abort()


@pytest.mark.parametrize("method", ["read", "next_chunk"])
async def test_aborted_while_streaming(pool: Pool, method: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"{}")
        response: Response = await call.response()
        assert await response.next_chunk() == b"abc"
        waiting = asyncio.ensure_future(getattr(response, method)())
        await asyncio.sleep(0)
        call.abort()
        with pytest.raises(Aborted):
            await waiting
        with pytest.raises(Aborted):
            await call.response()
        await server.all_gone()


async def test_aborted_while_the_upstream_is_held_back(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(bytes(65_536))

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"{}")
        response = await call.response()
        (host,) = pool._hosts.values()
        await eventually(lambda: next(iter(host.connections))._reading_paused)
        call.abort()
        with pytest.raises(Aborted):
            await response.next_chunk()
        await server.all_gone()


async def test_aborted_after_the_end_changes_nothing(pool: Pool) -> None:
    async with RawServer() as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"{}")
        response = await call.response()
        call.abort()
        assert await response.read() == b"ok"
        assert await (await call.response()).read() == b""
        assert pool.stats().idle == 1
        assert server.accepted == 1


async def test_aborted_while_a_large_body_is_on_its_way(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", bytes(30_000_000))
        await eventually(lambda: pool.stats().in_use == 1)
        call.abort()
        await server.all_gone()


@pytest.mark.parametrize("phase", ["connecting", "sent", "streaming"])
async def test_the_waiting_task_is_cancelled_then_the_call_aborted(pool: Pool, phase: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        if phase == "streaming":
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"{}")

        async def use() -> None:
            response = await call.response()
            while await response.next_chunk():
                pass

        task = asyncio.create_task(use())
        await asyncio.sleep(0)
        if phase != "connecting":
            await eventually(lambda: pool.stats().in_use == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        call.abort()
        await pool.close()
        await server.all_gone()


async def test_many_aborted_calls_leave_no_connection(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n")
            await peer.gone()

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_connections=8)
        calls = [pool.start(endpoint, b"POST", b"/", b"", b"{}") for _ in range(40)]
        for call in calls[:8]:
            await (await call.response()).next_chunk()
        for call in calls:
            call.abort()
        await server.all_gone()
        await eventually(lambda: pool.stats().open == 0)
        assert pool.stats().waiting == 0
        assert server.accepted == 8


async def test_an_answer_may_be_fetched_after_the_connection_broke(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nabc")

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"{}")
        await eventually(lambda: server.accepted == 1 and pool.stats() == (0, 0, 0, 0))
        response = await call.response()
        assert response.status == 500
        with pytest.raises(ConnectionBroken):
            await response.read()


async def test_errors_do_not_show_the_request(pool: Pool) -> None:
    async with RawServer(always_ok) as server:
        endpoint = server.endpoint(headers=(("authorization", "Bearer sk-secret"),), proxy="http://u:hunter2@x:1")
        call = pool.start(endpoint, b"POST", b"/", b"", b"sk-secret")
        call.abort()
        shown = [repr(call), repr(pool), repr(list(pool._targets.values())), repr(list(pool._hosts.items()))]
        with pytest.raises(Aborted) as caught:
            await call.response()
        shown.append(repr(caught.value) + str(caught.value))
        assert "sk-secret" not in "".join(shown)
        assert "hunter2" not in "".join(shown)
