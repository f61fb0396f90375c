"""Every dialect over a real socket: a server plays the provider, from the golden files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.upstream.dialects.translated import TranslatedCall
from gateway.upstream.pool import Pool
from gateway.upstream.transport import Call
from tests.gateway.upstream.dialects.test_golden import Case, cases, untimed
from tests.gateway.upstream.raw_server import Peer, RawServer, answer

SSE = b"Content-Type: text/event-stream"
JSON = b"Content-Type: application/json"


@pytest.mark.parametrize("folder", cases("answer.provider.json", "answer.provider.txt", "answer.provider.sse"))
async def test_the_provider_gets_the_request_and_the_client_the_answer(pool: Pool, folder: Path) -> None:
    case = Case(folder)
    file = case.answer("provider")
    expected = case.answer("openai")
    assert file is not None
    assert expected is not None
    seen: list[bytes] = []

    async def handler(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        seen.extend((request.line, request.body))
        status = b"%d Golden" % case.status
        body, kind = file.read_bytes(), SSE if file.suffix == ".sse" else JSON
        await peer.send(answer(body, kind).replace(b"200 OK", status, 1))

    async with RawServer(handler) as server:
        endpoint = server.endpoint(headers=(), base_url=f"{server.url}/prefix")
        request = case.request()
        outgoing = case.dialect.outgoing(request, case.wish(request), endpoint)
        call: Call = pool.start(endpoint, b"POST", outgoing.path, outgoing.headers, outgoing.body)
        translation = case.translation()
        if translation is not None:
            call = TranslatedCall(call, translation)
        response = await call.response()
        assert response.status == case.status
        told = b""
        while file.suffix == ".sse" and (chunk := await response.next_chunk()):
            told += chunk
        told = untimed(told or await response.read())

    assert seen[0].endswith(b"/prefix" + outgoing.path + b" HTTP/1.1")
    assert seen[1] == outgoing.body
    if expected.suffix == ".json":
        assert json.loads(told) == json.loads(expected.read_bytes())
    else:
        assert told == expected.read_bytes()
