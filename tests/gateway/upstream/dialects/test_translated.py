"""A provider of another wire behind the transport: a real socket plays Anthropic, from golden bytes."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from gateway.upstream.dialects import registry
from gateway.upstream.dialects.protocol import Wish
from gateway.upstream.dialects.translated import TranslatedCall
from gateway.upstream.pool import Pool
from gateway.upstream.transport import Aborted, Call, ConnectionBroken, Response
from gateway.wire.answers import MalformedAnswer
from gateway.wire.requests import read_request
from tests.gateway.upstream.dialects.test_golden import GOLDEN, untimed
from tests.gateway.upstream.raw_server import Peer, RawServer, Request, answer, eventually

CASES = GOLDEN / "anthropic"
SSE = b"Content-Type: text/event-stream; charset=utf-8"
JSON = b"Content-Type: application/json"


def golden(name: str) -> bytes:
    return (CASES / name).read_bytes()


def start(pool: Pool, server: RawServer, case: str) -> Call:
    """Send a golden request as the exchange does."""
    request = read_request("chat", golden(f"{case}/request.openai.json"))
    dialect = registry.find("anthropic")
    wish = Wish(request.model, None, "max_tokens", None, request.stream, "req-1", [])
    endpoint = server.endpoint(headers=(("x-api-key", "sk-ant-1"),))
    path, headers, body = dialect.outgoing(request, wish, endpoint)
    translation = dialect.translation(request, wish)
    assert translation is not None
    return TranslatedCall(pool.start(endpoint, b"POST", path, headers, body), translation)


async def collect(response: Response, chunks: list[bytes]) -> None:
    while chunk := await response.next_chunk():
        chunks.append(chunk)


async def test_a_whole_answer(pool: Pool) -> None:
    seen: list[Request | None] = []

    async def handler(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(answer(golden("text/answer.provider.json"), JSON, b"request-id: req_1", b"ETag: x"))

    async with RawServer(handler) as server:
        call = start(pool, server, "text")
        response = await call.response()
        assert (response.status, call.sent, call.connection_reused) == (200, True, False)
        assert response.headers == [(b"request-id", b"req_1"), (b"etag", b"x"), (b"content-type", b"application/json")]
        body = untimed(await response.read())

    assert json.loads(body) == json.loads(golden("text/answer.openai.json"))
    (request,) = seen
    assert request is not None
    assert request.line == b"POST /v1/messages HTTP/1.1"
    assert request.header(b"x-api-key") == b"sk-ant-1"
    assert request.header(b"anthropic-version") == b"2023-06-01"
    assert json.loads(request.body) == json.loads(golden("text/request.provider.json"))["body"]


async def test_a_stream_leaves_as_it_comes(pool: Pool) -> None:
    body = golden("stream_tools/answer.provider.sse")
    events = [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]
    turn = asyncio.Queue[None]()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\nTransfer-Encoding: chunked\r\n\r\n" % SSE)
        for event in events:
            await turn.get()
            await peer.send(b"%x\r\n%b\r\n" % (len(event), event))
        await peer.send(b"0\r\n\r\n")

    async with RawServer(handler) as server:
        response = await start(pool, server, "stream_tools").response()
        assert response.headers[-1] == (b"content-type", b"text/event-stream; charset=utf-8")
        turn.put_nowait(None)
        chunks = [await response.next_chunk()]
        assert chunks[0].count(b"data: ") == 1
        for _ in events:
            turn.put_nowait(None)
        await collect(response, chunks)
        assert await response.next_chunk() == b""

    assert untimed(b"".join(chunks)) == golden("stream_tools/answer.openai.sse")


async def test_the_end_of_a_stream_says_what_was_held(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(golden("stream_without_last_line/answer.provider.sse"), SSE))

    async with RawServer(handler) as server:
        response = await start(pool, server, "stream_without_last_line").response()
        chunks: list[bytes] = []
        await collect(response, chunks)

    assert untimed(b"".join(chunks)) == golden("stream_without_last_line/answer.openai.sse")


async def test_a_stream_that_breaks_is_broken(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 100000\r\n\r\n" % SSE)
        await peer.send(golden("stream_cut/answer.provider.sse"))

    async with RawServer(handler) as server:
        response = await start(pool, server, "stream_cut").response()
        chunks: list[bytes] = []
        with pytest.raises(ConnectionBroken):
            await collect(response, chunks)

    assert untimed(b"".join(chunks)) == golden("stream_cut/answer.openai.sse")


async def test_an_event_without_end_gives_up(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 90000000\r\n\r\n" % SSE)
        try:
            while True:
                await peer.send(b"x" * 1_000_000)
        except ConnectionError:
            pass

    async with RawServer(handler) as server:
        call = start(pool, server, "stream_cut")
        response = await call.response()
        with pytest.raises(ConnectionBroken, match="larger than"):
            await response.next_chunk()
        await server.all_gone()


async def test_an_error_status(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        page = golden("error_proxy/answer.provider.txt")
        await peer.send(answer(page, b"Content-Type: text/html", b"Retry-After: 3", status=b"502 Bad Gateway"))

    async with RawServer(handler) as server:
        response = await start(pool, server, "error_proxy").response()
        assert response.status == 502
        assert response.headers == [(b"retry-after", b"3"), (b"content-type", b"application/json")]
        assert json.loads(await response.read()) == json.loads(golden("error_proxy/answer.openai.json"))


async def test_an_answer_that_is_none(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b'{"object": "chat.completion"}', JSON))

    async with RawServer(handler) as server:
        response = await start(pool, server, "text").response()
        with pytest.raises(MalformedAnswer):
            await response.read()


async def test_a_type_that_is_not_told_stays_untold(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(golden("text/answer.provider.json")))

    async with RawServer(handler) as server:
        response = await start(pool, server, "text").response()
        assert response.headers == []
        assert b"chat.completion" in await response.read()


@pytest.mark.parametrize("coding", [b"gzip", b"br"])
async def test_compression(pool: Pool, coding: bytes) -> None:
    packed = gzip.compress(golden("text/answer.provider.json"))

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(packed, JSON, b"Content-Encoding: " + coding))

    async with RawServer(handler) as server:
        call = start(pool, server, "text")
        if coding == b"gzip":
            assert b"chat.completion" in await (await call.response()).read()
        else:  # which the transport did not ask for
            with pytest.raises(ConnectionBroken, match="compressed"):
                await call.response()


async def test_giving_up_counts_what_nobody_has_seen(pool: Pool) -> None:
    seen = golden("stream_cut/answer.provider.sse")

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 100000\r\n\r\n" % SSE)
        await peer.send(seen)
        await peer.gone()

    async with RawServer(handler) as server:
        call = start(pool, server, "stream_cut")
        response = await call.response()
        await eventually(lambda: call.arrived() == len(seen))
        call.abort()
        assert call.unread == len(seen)
        call.abort()
        with pytest.raises(Aborted):
            await response.next_chunk()
        await server.all_gone()
