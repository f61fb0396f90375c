"""Framing, limits, and answers that are none; any split of the bytes means the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.config.snapshot import Endpoint
from gateway.upstream.call import HttpCall
from gateway.upstream.connection import Connection
from gateway.upstream.host import HostPool
from gateway.upstream.pool import Pool
from gateway.upstream.target import Destination
from gateway.upstream.tls import TlsContexts
from gateway.upstream.transport import ConnectionBroken, TransportError
from tests.gateway.upstream.raw_server import OK, Peer, RawServer, answer, eventually

LOOPS = ("asyncio", "uvloop")


async def fetch(pool: Pool, reply: bytes, method: bytes = b"POST") -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """What the pool makes of a server that sends `reply` and closes."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply)

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(), method, b"/chat", b"", b"").response()
        return response.status, response.headers, await response.read()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "reply", "status", "body"),
    [
        (b"POST", answer(b"hello"), 200, b"hello"),
        (b"POST", answer(b"", status=b"429 Too Many Requests"), 429, b""),
        (b"POST", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, b""),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 200, b""),
        (b"POST", CHUNKED + b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n", 200, b"abcde"),
        (b"POST", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"POST", b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"POST", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 200, b""),
        (b"POST", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
        (b"POST", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\n" + OK, 200, b"ok"),
        (b"POST", answer(b"x", b"Connection: Upgrade, Keep-Alive", b"Upgrade: h2c"), 200, b"x"),
    ],
)
async def test_bodies_end_where_http_says(pool: Pool, method: bytes, reply: bytes, status: int, body: bytes) -> None:
    got_status, headers, got_body = await fetch(pool, reply, method)
    assert (got_status, got_body) == (status, body)
    assert (b"link", b"x") not in headers
    assert (b"trailer", b"x") not in headers


async def test_header_names_are_lower_case_and_in_order(pool: Pool) -> None:
    _, headers, _ = await fetch(pool, answer(b"", b"X-B: 1", b"Set-Cookie: a", b"x-a:2", b"SET-COOKIE: b"))
    assert headers == [
        (b"x-b", b"1"),
        (b"set-cookie", b"a"),
        (b"x-a", b"2"),
        (b"set-cookie", b"b"),
        (b"content-length", b"0"),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        CHUNKED + b"x\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK,
        b"HTTP/1.1 099 Odd\r\n\r\n",
    ],
    ids=lambda reply: repr(reply[:60]),
)
async def test_an_answer_cut_short_or_malformed_is_broken(pool: Pool, reply: bytes) -> None:
    with pytest.raises(ConnectionBroken) as caught:
        await fetch(pool, reply)
    assert caught.value.sent
    await eventually(lambda: pool.stats().open == 0)


@pytest.mark.parametrize(
    ("reply", "limit"),
    [
        (answer(b"", *(b"x-%d: y" % n for n in range(200))), "too many headers"),
        (answer(b"", b"x: " + b"y" * 65_536), "head is too large"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000, "head is too large"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 30_000, "head is too large"),
        (CHUNKED + b"1;" + b"x" * 600_000, "framing without content"),
        (CHUNKED + b"1\r\na\r\n0\r\nTrailer: " + b"x" * 600_000, "framing without content"),
    ],
    ids=lambda value: repr(value[:60]),
)
async def test_an_answer_without_measure_is_cut_off(pool: Pool, reply: bytes, limit: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply)
        await peer.gone()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"")
        with pytest.raises(ConnectionBroken, match=limit):
            await (await call.response()).read()
        await server.all_gone()


async def test_a_head_within_the_limits_passes(pool: Pool) -> None:
    lines = [b"x-%d: %b" % (n, b"y" * 300) for n in range(199)]
    status, headers, body = await fetch(pool, answer(b"z" * 100_000, *lines))
    assert (status, len(headers), len(body)) == (200, 200, 100_000)


async def test_what_came_before_a_cut_is_delivered_before_the_error(pool: Pool) -> None:
    cut = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\nabc\r\n")
        await cut.wait()

    async with RawServer(handler) as server:
        response = await pool.start(server.endpoint(), b"POST", b"/", b"", b"").response()
        cut.set()
        await eventually(lambda: pool.stats().open == 0)
        assert await response.next_chunk() == b"abc"
        for _ in range(2):
            with pytest.raises(ConnectionBroken):
                await response.next_chunk()


async def test_a_reset_does_not_pass_for_the_end_of_a_body(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        peer.abort()

    async with RawServer(handler) as server:
        call = pool.start(server.endpoint(), b"POST", b"/", b"", b"")
        with pytest.raises(ConnectionBroken):
            await (await call.response()).read()


async def test_head_leaves_the_connection_usable(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            await peer.send(OK if request.line.startswith(b"GET") else OK[:-2])

    async with RawServer(handler) as server:
        for method, body in ((b"HEAD", b""), (b"GET", b"ok"), (b"HEAD", b""), (b"GET", b"ok")):
            response = await pool.start(server.endpoint(), method, b"/", b"", b"").response()
            assert await response.read() == body
        assert server.accepted == 1


async def test_sockets_do_not_wait_to_fill_packets(pool: Pool) -> None:
    async with RawServer() as server:
        await (await pool.start(server.endpoint(), b"GET", b"/", b"", b"").response()).read()
        (host,) = pool._hosts.values()
        with socket.socket(fileno=socket.dup(host.idle[0]._fileno)) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_large_body_goes_out_whole_and_an_early_answer_comes_in(pool: Pool) -> None:
    body = bytes(range(256)) * 65_536  # 16 MiB

    async def handler(peer: Peer) -> None:
        if peer.number == 1:
            request = await peer.request()
            assert request is not None
            await peer.send(answer(b"same" if request.body == body else b"different"))
            await peer.gone()
        else:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(answer(b"too large", status=b"413 Content Too Large"))
            await peer.gone()

    async with RawServer(handler) as server:
        first = pool.start(server.endpoint(), b"POST", b"/", b"", body)
        second = pool.start(server.endpoint(), b"POST", b"/", b"", body)
        replies = [await (await call.response()).read() for call in (first, second)]
        assert sorted(replies) == [b"same", b"too large"]
        await eventually(lambda: pool.stats().in_use == 0)
        # The rest of the second body was never sent, so its connection cannot serve another request.
        assert pool.stats().open == 1


# --- any split of the bytes: the protocol driven directly ---


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.paused = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: object) -> None: ...

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


ENDPOINT = Endpoint("acme", "http://127.0.0.1/v1", ())
Outcome = tuple[int, list[tuple[bytes, bytes]], bytes, bool] | str


def exchange(pieces: Iterable[bytes], *, eof: bool = True) -> Outcome:
    """What one call gets when the connection receives these pieces: the answer and whether the connection is kept."""

    async def run() -> Outcome:
        loop = asyncio.get_running_loop()
        host = HostPool(loop, Destination("http", "127.0.0.1", 80, None, None, True), TlsContexts())
        connection, wire = Connection(loop, host), Wire()
        connection.connection_made(wire)
        call = HttpCall(loop, ENDPOINT, b"", b"")
        connection.send(call)
        for piece in pieces:
            if not wire.aborted:
                connection.data_received(piece)
        kept = not wire.aborted
        if eof and kept:
            connection.eof_received()
        connection.connection_lost(None)
        try:
            response = await call.response()
            return response.status, response.headers, await response.read(), kept
        except TransportError as error:
            return type(error).__name__ if error.sent else "not sent"

    return asyncio.run(run())


token = st.text("abcdefgXYZ-", min_size=1, max_size=8).map(str.encode)
headers = st.lists(st.tuples(token.map(lambda name: b"x-" + name), token), max_size=4)
bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


@st.composite
def replies(draw: st.DrawFn) -> tuple[bytes, bytes, bool]:
    """A valid answer on the wire, its body, and whether the connection survives it."""
    head = b"".join(b"%b: %b\r\n" % header for header in draw(headers))
    pieces = draw(bodies)
    body = b"".join(pieces)
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\n" * draw(st.integers(0, 2))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if framing == "length":
        head += b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        trailer = draw(st.sampled_from([b"", b"Trailer: z\r\n"]))
        head += b"Transfer-Encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (chunks, trailer)
    else:
        head += b"\r\n" + body
    return interim + b"HTTP/1.1 200 OK\r\n" + head, body, framing != "close"


def test_framing_between_content_does_not_add_up() -> None:
    pieces = [CHUNKED, *[b"1;" + b"x" * 1000 + b"\r\n", b"a\r\n"] * 200, b"0\r\n\r\n"]
    assert exchange(pieces) == (200, [(b"transfer-encoding", b"chunked")], b"a" * 200, True)


@settings(deadline=None)
@given(replies(), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_an_answer_gives_the_same(reply: tuple[bytes, bytes, bool], cuts: list[int]) -> None:
    wire, body, survives = reply
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    pieces = [wire[a:b] for a, b in pairwise(edges) if a < b]
    whole = exchange([wire])
    assert not isinstance(whole, str)
    assert (whole[0], whole[2]) == (200, body)
    assert whole[3] or not survives
    assert exchange(pieces) == whole
    assert exchange(wire[n : n + 1] for n in range(len(wire))) == whole


@settings(deadline=None)
@given(replies(), st.data())
def test_an_answer_cut_anywhere_is_an_error_unless_its_end_is_the_connections(
    reply: tuple[bytes, bytes, bool], data: st.DataObject
) -> None:
    wire, body, survives = reply
    cut = data.draw(st.integers(0, len(wire) - 1))
    outcome = exchange([wire[:cut]])
    if survives:
        assert outcome == "ConnectionBroken"
    else:
        assert outcome == "ConnectionBroken" or body.startswith(outcome[2])


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
@example([b"HTTP/1.1 200 OK\r\n", b"\r\n", b"x"], True)
@example([b"HTTP/1.1 100 \r\n\r\n", b"HTTP/1.1 200\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"], False)
def test_garbage_is_a_transport_error_and_nothing_else(pieces: list[bytes], eof: bool) -> None:
    assert exchange(pieces, eof=eof) != "not sent"


@settings(deadline=None)
@given(replies(), st.integers(0, 300), st.binary(min_size=1, max_size=5))
def test_damage_is_a_transport_error_and_nothing_else(
    reply: tuple[bytes, bytes, bool], where: int, damage: bytes
) -> None:
    wire = reply[0]
    assert exchange([wire[:where] + damage + wire[where + len(damage) :]]) != "not sent"
