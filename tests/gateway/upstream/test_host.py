"""The limit on connections, and the queue behind it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.config.snapshot import Endpoint
from gateway.upstream import host as host_module
from gateway.upstream.connection import Connection
from gateway.upstream.opening import open_connection
from gateway.upstream.pool import Pool
from gateway.upstream.target import Destination
from gateway.upstream.tls import TlsContexts
from gateway.upstream.transport import TransportError, Unreachable
from tests.gateway.upstream.raw_server import OK, Peer, RawServer, answer, eventually, quick

LOOPS = ("asyncio", "uvloop")


async def test_no_more_connections_than_allowed_and_first_come_first_served(pool: Pool) -> None:
    order: list[bytes] = []

    async def handler(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            order.append(request.body)
            await peer.send(OK)

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_connections=1)
        calls = [pool.start(endpoint, b"POST", b"/", b"", b"%d" % number) for number in range(20)]
        assert pool.stats().waiting == 20
        for call in calls:
            assert await (await call.response()).read() == b"ok"
        assert order == [b"%d" % number for number in range(20)]
        assert server.accepted == 1


async def test_many_at_once_open_as_many_as_allowed(pool: Pool) -> None:
    release = asyncio.Event()

    async def handler(peer: Peer) -> None:
        while await peer.request() is not None:
            await release.wait()
            await peer.send(OK)

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_connections=5)
        calls = [pool.start(endpoint, b"POST", b"/", b"", b"") for _ in range(30)]
        await eventually(lambda: pool.stats() == (5, 0, 5, 25))
        release.set()
        for call in calls:
            assert await (await call.response()).read() == b"ok"
        assert server.accepted == 5
        assert pool.stats() == (5, 5, 0, 0)


async def test_a_full_pool_is_unreachable_after_the_connect_timeout(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_connections=1, timeouts=quick(connect_s=0.05))
        busy = pool.start(endpoint, b"POST", b"/", b"", b"")
        await eventually(lambda: pool.stats().in_use == 1)
        with pytest.raises(Unreachable, match="all 1 connections stayed busy") as caught:
            await pool.start(endpoint, b"POST", b"/", b"", b"").response()
        assert not caught.value.sent
        assert pool.stats().waiting == 0
        busy.abort()


async def test_a_connection_that_closes_makes_room_for_who_waits(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"%d" % peer.number, b"Connection: close"))

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_connections=1)
        calls = [pool.start(endpoint, b"POST", b"/", b"", b"") for _ in range(4)]
        bodies = [await (await call.response()).read() for call in calls]
        assert bodies == [b"1", b"2", b"3", b"4"]


async def test_a_hang_up_right_behind_the_answer_does_not_hit_who_waits(pool: Pool) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        endpoint = Endpoint("acme", f"http://127.0.0.1:{listener.getsockname()[1]}", (), max_connections=1)
        calls = [pool.start(endpoint, b"POST", b"/", b"", b"{}") for _ in range(5)]
        for call in calls:
            peer, _ = await loop.sock_accept(listener)
            with peer:
                await loop.sock_recv(peer, 65_536)
                peer.send(OK)  # and the hang-up before anyone has read it
            assert await (await call.response()).read() == b"ok"
            assert not call.connection_reused


async def test_an_aborted_call_leaves_room_for_the_next(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        while await peer.request() is not None:
            if peer.number > 1:
                await peer.send(OK)

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_connections=1)
        first = pool.start(endpoint, b"POST", b"/", b"", b"")
        second = pool.start(endpoint, b"POST", b"/", b"", b"")
        await eventually(lambda: pool.stats().in_use == 1)
        first.abort()
        assert await (await second.response()).read() == b"ok"


async def test_calls_that_wait_on_a_refusing_host_all_fail(pool: Pool) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        endpoint = Endpoint("acme", f"http://127.0.0.1:{bound.getsockname()[1]}", (), max_connections=2)
        calls = [pool.start(endpoint, b"POST", b"/", b"", b"") for _ in range(9)]
        await asyncio.gather(*(call.response() for call in calls), return_exceptions=True)
    for call in calls:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:\d+: cannot connect: Connection refused"):
            await call.response()
    assert pool.stats() == (0, 0, 0, 0)


async def test_a_server_that_hangs_up_on_everyone_never_loops(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        peer.abort()

    async with RawServer(handler) as server:
        for _ in range(5):
            with pytest.raises(TransportError):
                await pool.start(server.endpoint(), b"POST", b"/", b"", b"").response()
        assert server.accepted == 5


async def test_a_connection_lost_before_its_use_is_not_used(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_and_lose(destination: Destination, contexts: TlsContexts, connection: Connection) -> None:
        await open_connection(destination, contexts, connection)
        connection.eof_received()

    monkeypatch.setattr(host_module, "open_connection", open_and_lose)
    async with RawServer() as server:
        with pytest.raises(Unreachable, match="closed the connection at once"):
            await pool.start(server.endpoint(), b"POST", b"/", b"", b"").response()
        await eventually(lambda: pool.stats() == (0, 0, 0, 0))


async def test_the_opening_of_an_aborted_call_serves_the_next_one(pool: Pool) -> None:
    async with RawServer() as server:
        endpoint = server.endpoint(max_connections=1)
        first = pool.start(endpoint, b"POST", b"/", b"", b"")
        second = pool.start(endpoint, b"POST", b"/", b"", b"")
        first.abort()
        assert await (await second.response()).read() == b"ok"
        assert server.accepted == 1
