"""Keep-alive, reuse, and what makes a connection unfit for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.config.snapshot import Endpoint
from gateway.upstream.pool import Pool, PoolStats
from gateway.upstream.transport import Aborted, ConnectionBroken, Unreachable
from tests.gateway.upstream.raw_server import OK, Peer, RawServer, Request, always_ok, answer, eventually

LOOPS = ("asyncio", "uvloop")


async def post(pool: Pool, endpoint: Endpoint, body: bytes = b"{}") -> bytes:
    response = await pool.start(endpoint, b"POST", b"/chat", b"", body).response()
    return await response.read()


async def test_one_connection_serves_requests_that_follow_each_other(pool: Pool) -> None:
    async with RawServer() as server:
        endpoint = server.endpoint()
        first = pool.start(endpoint, b"POST", b"/chat", b"", b"{}")
        assert await (await first.response()).read() == b"ok"
        assert not first.connection_reused
        second = pool.start(endpoint, b"POST", b"/chat", b"", b"{}")
        assert await (await second.response()).read() == b"ok"
        assert second.connection_reused
        assert server.accepted == 1


async def test_the_request_is_what_the_caller_and_the_endpoint_said(pool: Pool) -> None:
    seen: list[Request] = []

    async def handler(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.send(OK)

    async with RawServer(handler) as server:
        endpoint = server.endpoint(headers=(("authorization", "Bearer sk-1"), ("x-extra", "ü")))
        call = pool.start(endpoint, b"POST", b"/chat?beta=true", b"Content-Type: application/json\r\n", b'{"a":1}')
        await (await call.response()).read()
        call = pool.start(endpoint, b"GET", b"/models", b"", b"")
        await (await call.response()).read()
    lines = [
        b"POST /v1/chat?beta=true HTTP/1.1",
        b"Host: 127.0.0.1:%d" % server.port,
        b"Accept-Encoding: identity",
        b"authorization: Bearer sk-1",
        b"x-extra: \xc3\xbc",
        b"Content-Type: application/json",
        b"Content-Length: 7",
    ]
    assert seen[0].head == b"\r\n".join(lines) + b"\r\n\r\n"
    assert seen[0].body == b'{"a":1}'
    assert seen[1].line == b"GET /v1/models HTTP/1.1"
    assert seen[1].header(b"content-length") is None


async def test_the_connection_used_last_is_used_next(pool: Pool) -> None:
    release = asyncio.Event()

    async def handler(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if request.body == b"together":
                await release.wait()
            await peer.send(answer(b"%d" % peer.number))

    async with RawServer(handler) as server:
        endpoint = server.endpoint()
        both = asyncio.gather(post(pool, endpoint, b"together"), post(pool, endpoint, b"together"))
        await server.until(lambda seen: seen.accepted == 2)
        assert pool.stats().in_use + pool.stats().waiting == 2
        release.set()
        await both
        last = await post(pool, endpoint)
        assert [await post(pool, endpoint) for _ in range(5)] == [last] * 5
        assert pool.stats() == PoolStats(open=2, idle=2, in_use=0, waiting=0)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok",
        OK + b"surplus",
        OK + b"\x00",
        OK + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_a_connection_is_not_used_again_after(pool: Pool, reply: bytes) -> None:
    async def handler(peer: Peer) -> None:
        if await peer.request() is not None:
            await peer.send(reply)
            await peer.gone()

    async with RawServer(handler) as server:
        assert await post(pool, server.endpoint()) == b"ok"
        assert await post(pool, server.endpoint()) == b"ok"
        assert server.accepted == 2
        await server.all_gone()


async def test_http_1_0_with_keep_alive_is_used_again(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")

    async with RawServer(handler) as server:
        for _ in range(3):
            assert await post(pool, server.endpoint()) == b"ok"
        assert server.accepted == 1


async def test_a_connection_the_server_closed_while_idle_is_replaced_unnoticed(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        if await peer.request() is not None:
            await peer.send(OK)

    async with RawServer(handler) as server:
        for expected in range(1, 5):
            call = pool.start(server.endpoint(), b"POST", b"/chat", b"", b"{}")
            assert await (await call.response()).read() == b"ok"
            assert server.accepted == expected
            assert not call.connection_reused
            await eventually(lambda: pool.stats().open == 0)


async def test_a_reused_connection_that_breaks_after_the_request_is_not_tried_again(pool: Pool) -> None:
    requests = 0

    async def handler(peer: Peer) -> None:
        nonlocal requests
        while await peer.request() is not None:
            requests += 1
            if requests == 2:
                peer.abort()
                return
            await peer.send(OK)

    async with RawServer(handler) as server:
        await post(pool, server.endpoint())
        with pytest.raises(ConnectionBroken) as caught:
            await post(pool, server.endpoint())
        assert caught.value.sent
        assert requests == 2
        assert await post(pool, server.endpoint()) == b"ok"


async def test_unasked_bytes_on_an_idle_connection_condemn_it(pool: Pool) -> None:
    poison = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"%d" % peer.number))
        if peer.number == 1:
            await poison.wait()
            await peer.send(answer(b"somebody else's"))
        await peer.gone()

    async with RawServer(handler) as server:
        assert await post(pool, server.endpoint()) == b"1"
        poison.set()
        await eventually(lambda: pool.stats().open == 0)
        assert await post(pool, server.endpoint()) == b"2"


async def test_endpoints_share_connections_only_when_those_are_alike(pool: Pool) -> None:
    async with RawServer() as server:
        endpoint = server.endpoint()
        await post(pool, endpoint)
        reloaded = replace(endpoint, headers=(("authorization", "Bearer new"),), max_connections=7)
        await post(pool, reloaded)
        assert server.accepted == 1
        await post(pool, replace(endpoint, verify_tls=False))
        assert server.accepted == 2


async def test_endpoints_that_come_and_go_are_not_kept_for_ever(pool: Pool) -> None:
    async with RawServer() as server:
        for _ in range(1100):
            assert await post(pool, server.endpoint()) == b"ok"
        assert server.accepted == 1
        assert len(pool._targets) <= 1024


async def test_close_ends_idle_and_busy_connections_and_refuses_new_calls() -> None:
    pool = Pool()

    async def handler(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if request.body == b"hang":
                await peer.gone()
                return
            await peer.send(OK)

    async with RawServer(handler) as server:
        endpoint = server.endpoint()
        hanging = pool.start(endpoint, b"POST", b"/chat", b"", b"hang")
        await eventually(lambda: pool.stats().in_use == 1)
        await post(pool, endpoint)
        assert pool.stats() == PoolStats(open=2, idle=1, in_use=1, waiting=0)
        await pool.close()
        assert pool.stats() == PoolStats(0, 0, 0, 0)
        with pytest.raises(Aborted):
            await hanging.response()
        for known in (endpoint, server.endpoint(provider="other")):
            with pytest.raises(Unreachable, match="closed"):
                await post(pool, known)
        await server.all_gone()
        await pool.close()


async def test_a_closed_connection_holds_no_timer(pool: Pool) -> None:
    async with RawServer() as server:
        await post(pool, server.endpoint())
        (host,) = pool._hosts.values()
        (connection,) = host.connections
        assert connection._deadline._handle is not None
        await pool.close()
        assert connection._deadline._handle is None


async def test_an_impossible_endpoint_fails_the_call_not_the_caller(pool: Pool) -> None:
    async with RawServer(always_ok) as server:
        call = pool.start(server.endpoint(base_url="ftp://x"), b"GET", b"/", b"", b"")
        with pytest.raises(Unreachable, match="provider acme: base_url"):
            await call.response()
        call.abort()
