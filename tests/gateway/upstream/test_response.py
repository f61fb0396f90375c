"""The body's buffer: backpressure, limits, decoding."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from gateway.upstream.pool import Pool
from gateway.upstream.response import HIGH_WATER_BYTES
from gateway.upstream.transport import ConnectionBroken, ResponseTooLarge
from tests.gateway.upstream.raw_server import Peer, RawServer, answer, eventually

LOOPS = ("asyncio", "uvloop")
HOLDS_AT_MOST = HIGH_WATER_BYTES + 2 * 262_144
"""The mark, and what one read of the loop (TLS: two) may bring beyond it."""


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


async def test_chunks_come_as_they_arrive(pool: Pool) -> None:
    next_one = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            await peer.send(chunked(b"data: %d\n\n" % number))
            await next_one.wait()
            next_one.clear()
        await peer.send(b"0\r\n\r\n")
        await peer.gone()

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(), b"POST", b"/", b"", b"").response()
        for number in range(5):
            assert await response.next_chunk() == b"data: %d\n\n" % number
            next_one.set()
        assert await response.next_chunk() == b""
        assert await response.next_chunk() == b""
        assert pool.stats().idle == 1


async def test_a_slow_reader_slows_the_upstream_down(pool: Pool) -> None:
    size = 64 * 1_048_576
    written = 0

    async def handler(peer: Peer) -> None:
        nonlocal written
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while written < size:
            await peer.send(bytes(65_536))
            written += 65_536
        await peer.gone()

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_response_bytes=size)
        response = await pool.start(endpoint, b"POST", b"/", b"", b"").response()
        (host,) = pool._hosts.values()
        (connection,) = host.connections
        await eventually(lambda: connection._reading_paused)
        assert HIGH_WATER_BYTES < response.buffered < HOLDS_AT_MOST
        # The rest stays in the two sockets' buffers: far less than the whole.
        seen = -1
        while seen != written:
            seen = written
            await asyncio.sleep(0.01)
        assert written < size / 2
        received = 0
        while chunk := await response.next_chunk():
            assert len(chunk) < HOLDS_AT_MOST
            received += len(chunk)
        assert received == size
        await eventually(lambda: pool.stats().idle == 1)


async def test_read_collects_more_than_the_buffer_holds(pool: Pool) -> None:
    body = bytes(range(256)) * 20_000

    async def handler(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(answer(body))

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(), b"POST", b"/", b"", b"").response()
        (host,) = pool._hosts.values()
        await eventually(lambda: not host.connections or next(iter(host.connections))._reading_paused)
        assert await response.read() == body
        response = await pool.start(server.endpoint(), b"POST", b"/", b"", b"").response()
        first = await response.next_chunk()
        assert first + await response.read() == body
        assert server.accepted == 1


@pytest.mark.parametrize("length", [b"Content-Length: 3000000\r\n", b""])
async def test_read_refuses_a_body_beyond_the_limit(pool: Pool, length: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n" % length + bytes(3_000_000))
        await peer.gone()

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(max_response_bytes=1_000_000), b"POST", b"/", b"", b"").response()
        for _ in range(2):
            with pytest.raises(ResponseTooLarge, match="1000000") as caught:
                await response.read()
            assert caught.value.sent
        await server.all_gone()
        assert pool.stats().open == 0


async def test_read_refuses_a_small_body_beyond_a_smaller_limit(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(answer(b"12345"))

    async with RawServer(handler) as server:
        for limit, fits in ((5, True), (4, False)):
            response = await pool.start(server.endpoint(max_response_bytes=limit), b"GET", b"/", b"", b"").response()
            if fits:
                assert await response.read() == b"12345"
            else:
                with pytest.raises(ResponseTooLarge):
                    await response.read()


@pytest.mark.parametrize("limit", [2, 300_000])
async def test_read_refuses_what_already_waits_beyond_the_limit(pool: Pool, limit: int) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(5_000_000))
        await peer.gone()

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(max_response_bytes=limit), b"GET", b"/", b"", b"").response()
        (host,) = pool._hosts.values()
        await eventually(lambda: next(iter(host.connections))._reading_paused)
        with pytest.raises(ResponseTooLarge):
            await response.read()
        await server.all_gone()


BODY = b'{"choices": [{"message": "hello"}]}' * 1000


@pytest.mark.parametrize(
    ("encoding", "wire"),
    [
        (b"gzip", gzip.compress(BODY)),
        (b"X-GZIP", gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])),
        (b"deflate", zlib.compress(BODY)),
        (b"deflate", zlib.compress(BODY)[2:-4]),
    ],
)
async def test_compressed_bodies_are_decoded_and_their_headers_dropped(
    pool: Pool, encoding: bytes, wire: bytes
) -> None:
    async def handler(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nX-Id: 1\r\n" % encoding
            if request.line.startswith(b"GET"):
                await peer.send(head + b"Content-Length: %d\r\n\r\n" % len(wire) + wire)
            else:
                await peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
                for start in range(0, len(wire), 7):
                    await peer.send(chunked(wire[start : start + 7]))
                await peer.send(b"0\r\n\r\n")

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(), b"GET", b"/", b"", b"").response()
        assert response.headers == [(b"x-id", b"1")]
        assert await response.read() == BODY
        response = await pool.start(server.endpoint(), b"POST", b"/", b"", b"").response()
        pieces = []
        while piece := await response.next_chunk():
            pieces.append(piece)
        assert b"".join(pieces) == BODY
        assert server.accepted == 1


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"identity", b"gzip, br"])
async def test_other_encodings_are_left_alone(pool: Pool, encoding: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"?!", b"Content-Encoding: " + encoding))

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(), b"GET", b"/", b"", b"").response()
        assert (b"content-encoding", encoding) in response.headers
        assert await response.read() == b"?!"


@pytest.mark.parametrize("wire", [gzip.compress(BODY)[:-1], gzip.compress(BODY) + b"junk", b"no gzip at all"])
@pytest.mark.parametrize("method", ["read", "next_chunk"])
async def test_bodies_that_are_not_what_they_say_are_broken(pool: Pool, wire: bytes, method: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(wire, b"Content-Encoding: gzip"))

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(), b"GET", b"/", b"", b"").response()

        async def fetch_all() -> None:
            while await getattr(response, method)():
                pass

        with pytest.raises(ConnectionBroken, match="compressed"):
            await fetch_all()


async def test_a_bomb_is_met_piece_by_piece(pool: Pool) -> None:
    bomb = gzip.compress(bytes(50_000_000))

    async def handler(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(answer(bomb, b"Content-Encoding: gzip"))

    async with RawServer(handler) as server:
        endpoint = server.endpoint(max_response_bytes=1_000_000)
        response = await pool.start(endpoint, b"GET", b"/", b"", b"").response()
        with pytest.raises(ResponseTooLarge):
            await response.read()
        response = await pool.start(endpoint, b"GET", b"/", b"", b"").response()
        received = 0
        while piece := await response.next_chunk():
            assert len(piece) <= HIGH_WATER_BYTES
            received += len(piece)
        assert received == 50_000_000


async def test_an_empty_compressed_body_is_empty(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"", b"Content-Encoding: gzip"))

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(), b"GET", b"/", b"", b"").response()
        assert await response.read() == b""
