"""Bodies that are passed on as they come, byte by byte, against a scripted upstream."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.pool import Pool
from gateway.upstream.transport import BodyBroken, ConnectionBroken
from gateway.wire.upload import Beginning
from tests.gateway.upstream.raw_server import OK, Peer, RawServer

LOOPS = ("asyncio", "uvloop")


class Rest:
    """Pieces, given one by one when they are asked for."""

    def __init__(self, *pieces: bytes | BodyBroken, gate: asyncio.Event | None = None) -> None:
        self._pieces = list(pieces)
        self._gate = gate
        self.begun = False
        self.asked = 0

    async def next_chunk(self) -> bytes:
        self.begun = True
        self.asked += 1
        if self._gate is not None:
            await self._gate.wait()
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, BodyBroken):
            raise piece
        return piece


async def whole(peer: Peer) -> bytes:
    """A request with its body, whichever framing it has."""
    head = await peer.reader.readuntil(b"\r\n\r\n")
    if b"chunked" in head:
        return head + await peer.reader.readuntil(b"\r\n0\r\n\r\n")
    length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
    return head + await peer.reader.readexactly(length)


@pytest.mark.parametrize("length", [10, None])
async def test_all_of_a_body_arrives_in_order(pool: Pool, length: int | None) -> None:
    got: list[bytes] = []

    async def serve(peer: Peer) -> None:
        got.append(await whole(peer))
        await peer.send(OK)
        got.append(await whole(peer))
        await peer.send(OK)

    async with RawServer(serve) as server:
        for _ in range(2):  # the connection is used again
            body = Beginning(b"abcd", Rest(b"ef", b"ghij"), length)
            call = pool.start(server.endpoint(), b"POST", b"/x", b"", body)
            response = await call.response()
            assert await response.read() == b"ok"
            assert call.sent
        assert call.connection_reused
    framed = b"abcdefghij" if length else b"4\r\nabcd\r\n2\r\nef\r\n4\r\nghij\r\n0\r\n\r\n"
    assert [each.partition(b"\r\n\r\n")[2] for each in got] == [framed, framed]


async def test_an_answer_before_the_end_ends_the_upload(pool: Pool) -> None:
    gate = asyncio.Event()
    left = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
        await peer.gone()
        left.set()

    async with RawServer(serve) as server:
        call = pool.start(server.endpoint(), b"POST", b"/x", b"", Beginning(b"abcd", Rest(b"ef", gate=gate), 6))
        response = await call.response()
        assert (response.status, await response.read()) == (401, b"no")
        assert not call.sent
        await left.wait()  # a connection with half a request on it serves no other
    assert pool.stats().idle == 0


async def test_a_client_that_breaks_off_breaks_the_call(pool: Pool) -> None:
    left = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.gone()
        left.set()

    async with RawServer(serve) as server:
        broken = BodyBroken("the client left", sent=True)
        call = pool.start(server.endpoint(), b"POST", b"/x", b"", Beginning(b"abcd", Rest(b"ef", broken), 60))
        with pytest.raises(BodyBroken) as caught:
            await call.response()
        assert not caught.value.sent, "half a request is not billed"
        await left.wait()


async def test_an_upstream_that_hangs_up_halfway_was_sent_nothing_that_counts(pool: Pool) -> None:
    async def serve(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.abort()

    async with RawServer(serve) as server:
        never = asyncio.Event()
        call = pool.start(server.endpoint(), b"POST", b"/x", b"", Beginning(b"abcd", Rest(b"e", gate=never), 60))
        with pytest.raises(ConnectionBroken) as caught:
            await call.response()
    assert not caught.value.sent
    assert not call.sent


async def test_giving_up_stops_the_upload(pool: Pool) -> None:
    async with RawServer(Peer.gone) as server:
        rest = Rest(b"e", gate=asyncio.Event())
        call = pool.start(server.endpoint(), b"POST", b"/x", b"", Beginning(b"abcd", rest, 60))
        while not rest.asked:
            await asyncio.sleep(0)
        call.abort()
        assert call.finished
        assert not call.sent
