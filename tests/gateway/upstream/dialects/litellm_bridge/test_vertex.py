"""Vertex through the SDK: Google's own library fetches the access token, from a token endpoint of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config.snapshot import Endpoint
from gateway.upstream.dialects.litellm_bridge.bridge import Bridge
from gateway.wire.answers import StreamObserver, read_answer
from gateway.wire.sse import EventSplitter
from routing.money import Usage
from tests.gateway.upstream.dialects.litellm_bridge.providers import endpoint, start
from tests.gateway.upstream.raw_server import Peer, RawServer, Request, answer, quick

pytest.importorskip("google.auth", reason="Vertex's credentials")

USAGE = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 4,
    "thoughtsTokenCount": 6,
    "totalTokenCount": 20,
    "cachedContentTokenCount": 8,
}
BILLED = Usage(input_tokens=10, output_tokens=10, cache_read_tokens=8, reasoning_tokens=6)


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}]}


def vertex(server: RawServer, private_key: str) -> Endpoint:
    base = server.url.removesuffix("/v1")
    credentials = {
        "type": "service_account",
        "project_id": "p",
        "private_key": private_key,
        "client_email": "a@p.iam.gserviceaccount.com",
        "token_uri": f"{base}/token",
    }
    return endpoint(
        base,
        "vertex_ai",
        timeouts=quick(connect_s=60.0, total_s=120.0),
        api_base=f"{base}/v1/projects/p/locations/europe-west1/publishers/google/models/gemini-2.5-pro",
        vertex_project="p",
        vertex_location="europe-west1",
        vertex_credentials=json.dumps(credentials),
    )


@pytest.fixture(scope="module")
def private_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(65_537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["whole", "stream"])
async def test_an_answer_with_the_providers_usage(bridge: Bridge, private_key: str, fields: dict[str, Any]) -> None:
    seen: list[Request] = []

    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if request.line.startswith(b"POST /token"):
                token = {"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"}
                await peer.send(answer(json.dumps(token).encode(), b"Content-Type: application/json"))
                continue
            seen.append(request)
            last = {**said("lo", finishReason="STOP"), "usageMetadata": USAGE}
            if fields:
                events = [said("hel"), last]
                body = b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events)
                await peer.send(answer(body, b"Content-Type: text/event-stream"))
            else:
                await peer.send(answer(json.dumps(last).encode()))

    async with RawServer(serve) as server:
        at = vertex(server, private_key)
        body = await (await start(bridge, at, fields, model="gemini-2.5-pro").response()).read()

    assert seen[0].header(b"authorization") == b"Bearer ya29.token"
    if not fields:
        assert read_answer(body).usage == BILLED
        return
    observer = StreamObserver(1)
    for event in EventSplitter().feed(body):
        observer.observe(event)
    assert observer.complete
    assert observer.usage == BILLED


async def test_credentials_that_are_refused_are_ours_to_mend(bridge: Bridge, private_key: str) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(answer(b'{"error": "invalid_grant"}', status=b"400 Bad Request"))

    async with RawServer(serve) as server:
        at = vertex(server, private_key)
        response = await start(bridge, at, model="gemini-2.5-pro").response()
        found = await response.read()

    assert response.status == 401
    assert b"PRIVATE" not in found
