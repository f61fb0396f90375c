"""The four time-outs and the keep-alive, on a clock that the tests move."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from gateway.config.snapshot import Timeouts
from gateway.upstream.connection import Connection
from gateway.upstream.pool import Pool
from gateway.upstream.transport import TimedOut
from tests.gateway.upstream.conftest import warp
from tests.gateway.upstream.raw_server import OK, Peer, RawServer, always_ok, answer, eventually, quick

LOOPS = ("warp",)
TIMEOUTS = Timeouts(connect_s=5, first_byte_s=120, idle_s=60, total_s=600)


def the_connection(pool: Pool) -> Connection:
    (host,) = pool._hosts.values()
    (connection,) = host.connections
    return connection


async def test_first_byte_runs_from_the_request_to_the_head(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")  # a head's beginning is not a head
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(timeouts=TIMEOUTS), b"POST", b"/", b"", b"{}")
        waiting = asyncio.ensure_future(call.response())
        await eventually(lambda: pool.stats().in_use == 1 and the_connection(pool)._overhead > 0)
        await warp(119)
        assert not waiting.done()
        await warp(1.1)
        with pytest.raises(TimedOut) as caught:
            await waiting
        assert (caught.value.phase, caught.value.after_s, caught.value.sent) == ("first_byte", 120, True)
        await server.all_gone()


async def test_idle_runs_between_chunks(pool: Pool) -> None:
    go = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\na")
        await go.wait()
        await peer.send(b"b")
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(timeouts=TIMEOUTS), b"POST", b"/", b"", b"{}")
        response = await call.response()
        assert await response.next_chunk() == b"a"
        await warp(59)
        go.set()
        assert await response.next_chunk() == b"b"
        waiting = asyncio.ensure_future(response.next_chunk())
        await warp(59)
        assert not waiting.done()
        await warp(1.1)
        with pytest.raises(TimedOut) as caught:
            await waiting
        assert (caught.value.phase, caught.value.sent) == ("idle", True)
        await server.all_gone()


async def test_idle_stands_still_while_the_reader_is_slow(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(bytes(4_000_000)))
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(timeouts=TIMEOUTS), b"POST", b"/", b"", b"{}")
        response = await call.response()
        await eventually(lambda: the_connection(pool)._reading_paused)
        await warp(500)
        received = 0
        while chunk := await response.next_chunk():
            received += len(chunk)
        assert received == 4_000_000


async def test_idle_begins_anew_when_the_reader_goes_on(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(4_000_000))
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(timeouts=TIMEOUTS), b"POST", b"/", b"", b"{}")
        response = await call.response()
        await eventually(lambda: the_connection(pool)._reading_paused)
        connection = the_connection(pool)
        # A stall that begins with the reader's return, before any new byte: stop the transport from bringing one.
        connection._transport.pause_reading()
        connection._transport.resume_reading = lambda: None  # type: ignore[method-assign]
        assert await response.next_chunk()
        waiting = asyncio.ensure_future(response.next_chunk())
        await warp(59)
        assert not waiting.done()
        await warp(1.1)  # there is something to read: it is looked at once more
        await warp(0.1)
        with pytest.raises(TimedOut, match="idle"):
            await waiting
        assert call.unread > 0, "nobody will see it, but it was generated"


async def test_total_bounds_a_stream_that_never_pauses_long(pool: Pool) -> None:
    ticks = asyncio.Queue[bytes]()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(await ticks.get())

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(timeouts=TIMEOUTS), b"POST", b"/", b"", b"{}")
        response = await call.response()
        for _ in range(11):
            await warp(50)
            ticks.put_nowait(b"x")
            assert await response.next_chunk() == b"x"
        waiting = asyncio.ensure_future(response.next_chunk())
        await warp(51)
        with pytest.raises(TimedOut) as caught:
            await waiting
        assert (caught.value.phase, caught.value.after_s) == ("total", 600)


async def test_total_runs_while_the_reader_is_slow(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(bytes(4_000_000)))

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(timeouts=TIMEOUTS), b"POST", b"/", b"", b"{}")
        response = await call.response()
        await eventually(lambda: the_connection(pool)._reading_paused)
        await warp(601)
        await eventually(lambda: pool.stats().open == 0)
        with pytest.raises(TimedOut, match="total"):
            await response.read()


async def test_sending_times_out_only_without_progress(pool: Pool) -> None:
    read_on = asyncio.Queue[int]()

    async def handler(peer: Peer) -> None:
        # So that the sockets hold little of the body, whatever the system's buffers grow to.
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        await peer.reader.readuntil(b"\r\n\r\n")
        while True:
            await peer.reader.readexactly(await read_on.get())

    async with RawServer(handler) as server:
        call = pool.start(
            server.endpoint(timeouts=replace(TIMEOUTS, total_s=100_000)), b"POST", b"/", b"", bytes(60_000_000)
        )
        waiting = asyncio.ensure_future(call.response())
        await eventually(lambda: pool.stats().in_use == 1)
        connection = the_connection(pool)
        assert connection._phase == "sending"
        for _ in range(3):
            unsent = connection._transport.get_write_buffer_size()
            read_on.put_nowait(10_000_000)
            await eventually(lambda before=unsent: connection._transport.get_write_buffer_size() < before)
            await warp(61)
            assert not waiting.done()
        for _ in range(100):  # what the peer's buffers still take is progress too
            if not waiting.done():
                await warp(61)
        with pytest.raises(TimedOut) as caught:
            await waiting
        assert (caught.value.phase, caught.value.sent) == ("idle", True)


async def test_first_byte_begins_when_a_large_body_is_out(pool: Pool) -> None:
    read_on = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await read_on.wait()
        await peer.request()
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(timeouts=TIMEOUTS), b"POST", b"/", b"", bytes(30_000_000))
        waiting = asyncio.ensure_future(call.response())
        await eventually(lambda: pool.stats().in_use == 1)
        await warp(50)
        read_on.set()
        await eventually(lambda: the_connection(pool)._phase == "first_byte")
        await warp(119)
        assert not waiting.done()
        await warp(1.1)
        with pytest.raises(TimedOut, match="first_byte"):
            await waiting


async def test_connect_covers_a_handshake_that_never_comes(pool: Pool) -> None:
    async with RawServer(Peer.gone) as server:
        endpoint = server.endpoint(base_url=server.url.replace("http", "https"), timeouts=TIMEOUTS)
        call = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        waiting = asyncio.ensure_future(call.response())
        await server.until(lambda seen: seen.accepted == 1)
        await warp(4.9)
        assert not waiting.done()
        await warp(0.2)
        with pytest.raises(TimedOut) as caught:
            await waiting
        assert (caught.value.phase, caught.value.after_s, caught.value.sent) == ("connect", 5, False)
        await server.all_gone()
        assert pool.stats().waiting == 0


async def test_total_shorter_than_connect_is_named(pool: Pool) -> None:
    async with RawServer(Peer.gone) as server:
        endpoint = server.endpoint(base_url=server.url.replace("http", "https"), timeouts=quick(total_s=2))
        waiting = asyncio.ensure_future(pool.start(endpoint, b"POST", b"/", b"", b"{}").response())
        await server.until(lambda seen: seen.accepted == 1)
        await warp(2.1)
        with pytest.raises(TimedOut, match="total"):
            await waiting


@pytest.mark.parametrize(
    ("keepalive_s", "hint", "lives_s", "dies_s"),
    [
        (30.0, b"", 29, 2),
        (30.0, b"Keep-Alive: timeout=5, max=9\r\n", 3.9, 0.2),
        (3.0, b"Keep-Alive: timeout=5\r\n", 2.9, 0.2),
    ],
)
async def test_an_idle_connection_expires(
    pool: Pool, keepalive_s: float, hint: bytes, lives_s: float, dies_s: float
) -> None:
    async def handler(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\nok" % hint)

    async with RawServer(handler) as server:
        endpoint = server.endpoint(keepalive_s=keepalive_s)
        for _ in range(3):
            assert await (await pool.start(endpoint, b"GET", b"/", b"", b"").response()).read() == b"ok"
            await warp(lives_s)
        assert server.accepted == 1
        assert pool.stats().idle == 1
        await warp(dies_s)
        await server.all_gone()
        assert pool.stats().open == 0


async def test_quick_requests_do_not_touch_the_loops_timers(pool: Pool) -> None:
    async with RawServer(always_ok) as server:
        endpoint = server.endpoint()
        await (await pool.start(endpoint, b"GET", b"/", b"", b"").response()).read()
        await eventually(lambda: pool.stats().idle == 1)
        timer = the_connection(pool)._deadline._handle
        for _ in range(10):
            await (await pool.start(endpoint, b"GET", b"/", b"", b"").response()).read()
        assert the_connection(pool)._deadline._handle is timer


async def test_a_hang_up_that_the_loop_has_not_seen_is_seen_before_writing(pool: Pool) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with RawServer() as unused:
            endpoint = unused.endpoint(base_url=url)
        call = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        first, _ = await loop.sock_accept(listener)
        await loop.sock_recv(first, 65_536)
        await loop.sock_sendall(first, OK)
        assert await (await call.response()).read() == b"ok"
        loop.now_s += 0.1  # type: ignore[attr-defined]  # it is the warp loop
        first.close()
        call = pool.start(endpoint, b"POST", b"/", b"", b"{}")  # no await since: the loop cannot know
        second, _ = await loop.sock_accept(listener)
        with second:
            await loop.sock_recv(second, 65_536)
            await loop.sock_sendall(second, OK)
            assert await (await call.response()).read() == b"ok"
            assert not call.connection_reused


async def test_a_call_may_have_less_time_than_its_endpoint(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with RawServer(handler) as server:
        less = replace(TIMEOUTS, first_byte_s=2)
        call = pool.start(server.endpoint(timeouts=TIMEOUTS), b"POST", b"/", b"", b"{}", timeouts=less)
        waiting = asyncio.ensure_future(call.response())
        await eventually(lambda: pool.stats().in_use == 1 and call.sent)
        await warp(2.1)
        with pytest.raises(TimedOut) as caught:
            await waiting
        assert (caught.value.phase, caught.value.after_s) == ("first_byte", 2)
        await server.all_gone()
