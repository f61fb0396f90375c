"""The edges of HTTP: bodies, headers, paths and connections that are not as they should be."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY, GatewayUnderTest
from tests.integration.upstream import Exchange, Upstream

AUTH = {"authorization": f"Bearer {TESTER_KEY}"}
ASK = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}


async def post(gateway: GatewayUnderTest, body: bytes, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(f"{gateway.url}/v1/chat/completions", headers={**AUTH, **headers}, content=body)


async def speak(gateway: GatewayUnderTest, *sent: bytes) -> bytes:
    """Say these bytes on a bare connection and hear until the gateway closes it."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for part in sent:
        writer.write(part)
        await writer.drain()
    try:
        return await reader.read()
    finally:
        writer.close()


def request(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = "".join(f"{header}\r\n" for header in (*headers, "connection: close"))
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode() + body


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "invalid_json", None),
        (b"{", 400, "invalid_json", None),
        (b"[]", 400, "invalid_json", None),
        (b'"text"', 400, "invalid_json", None),
        (b"{}", 400, "missing_required_parameter", "model"),
        (b'{"model":7,"messages":[]}', 400, "invalid_value", "model"),
        (b'{"model":"","messages":[]}', 400, "invalid_value", "model"),
        (b'{"model":"sim-small"}', 400, "missing_required_parameter", "messages"),
        (b'{"model":"sim-small","messages":[],"n":"two"}', 400, "invalid_value", "n"),
        (b'{"model":"no-such","messages":[]}', 404, "model_not_found", "model"),
        (b"[" * 100_000, 400, "invalid_json", None),
        (b'{"model":"sim-small","messages":[' + b"[" * 1_000_000, 400, "invalid_json", None),
    ],
)
async def test_bodies_that_are_wrong(
    gateway: GatewayUnderTest, body: bytes, status: int, code: str, param: str | None
) -> None:
    answer = await post(gateway, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["metadata"]["request_id"] == answer.headers["x-request-id"]
    [row] = await gateway.rows("requests")
    assert (row["outcome"], row["error_code"], row["status"]) == ("refused", code, status)


async def test_a_body_over_the_limit(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", server={"max_body_bytes": 1000})
    body = json.dumps({**ASK, "padding": "x" * 2000}).encode()
    declared = await post(gateway, body)
    assert (declared.status_code, declared.json()["error"]["code"]) == (413, "request_too_large")

    async def pieces() -> Any:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    async with httpx.AsyncClient() as client:
        chunked = await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, content=pieces())
    assert chunked.status_code == 413
    assert (await post(gateway, json.dumps(ASK).encode())).status_code == 200


async def test_a_stranger_cannot_make_us_read_a_body(gateway: GatewayUnderTest) -> None:
    heard = await speak(gateway, request("/v1/chat/completions", "content-length: 30000000", method="POST"))
    assert heard.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404), ("POST", "/v1/batches", 404), ("GET", "/chat/completions", 404),
        ("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/models", 405), ("GET", "/admin/v1/status", 404),
        ("GET", "/v1/models/", 404), ("GET", "/v1/requests/req_unknown", 404), ("GET", "/%00%ff", 404),
    ],
)  # fmt: skip
async def test_other_paths(gateway: GatewayUnderTest, method: str, path: str, status: int) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.request(method, f"{gateway.url}{path}", headers=AUTH)
    if path == "/v1/models/":  # a slash too many is forgiven
        status = 200
    assert answer.status_code == status
    if status != 200:
        assert {"message", "type", "param", "code"} <= set(answer.json()["error"])
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/v1/messages", 404, "must not end in /v1"), ("/v1/v1/responses", 404, "must not end in /v1"),
        ("/messages", 404, "must end in /v1"), ("/conversations", 404, "must end in /v1"),
        ("/v1/messages/batches", 404, "is not served yet"), ("/v1/batches", 404, "/v1/conversations"),
        ("/v1/responses/", 405, "no slash at its end"), ("/v1/messages/", 405, "no slash at its end"),
    ],
)  # fmt: skip
async def test_a_wrong_path_says_which_was_meant(gateway: GatewayUnderTest, path: str, status: int, words: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{gateway.url}{path}", headers=AUTH, json=ASK)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert ("request_id" in answer.json()) is ("/v1/messages" in path), "Anthropic's shape for Anthropic's clients"


async def test_health_readiness_and_metrics_need_no_key(gateway: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/healthz")).json()["status"] == "ok"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["config"], ready.json()["journal"]) == (200, "current", "ok")
        assert (await client.head("/readyz")).status_code == 200
        await client.post("/v1/chat/completions", headers=AUTH, json=ASK)
        metrics = await client.get("/metrics")
    assert 'agent="tester",model="sim-small",provider="sim",outcome="ok"} 1.0' in metrics.text
    assert (await post(gateway, b"{}")).status_code == 400


async def test_what_is_no_http_gets_an_error_in_the_usual_shape(gateway: GatewayUnderTest) -> None:
    heard = await speak(gateway, b"\x16\x03\x01 hello\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"


async def test_headers_over_the_limit(gateway: GatewayUnderTest) -> None:
    for sent in (request("/v1/models", "x-big: " + "y" * 70_000), request("/" + "p" * 70_000)):
        heard = await speak(gateway, sent)
        assert heard.startswith(b"HTTP/1.1 431 ")
        assert b"x-request-id" in heard
    endless = await speak(gateway, b"GET / HTTP/1.1\r\n", *[b"x-h: " + b"y" * 1000 + b"\r\n"] * 70)
    assert endless.startswith(b"HTTP/1.1 431 ")


async def test_a_client_that_never_finishes_its_request(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", server={"header_timeout_s": 0.2})
    heard = await speak(gateway, b"POST /v1/chat/completions HTTP/1.1\r\nhost:")
    assert heard.startswith(b"HTTP/1.1 408 ")
    assert await speak(gateway) == b"", "and one that never says a word is closed"


async def test_an_idle_connection_is_closed(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", server={"keepalive_s": 0.2})
    heard = await speak(gateway, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 200 OK"), "the answer, and then the end"


async def test_more_connections_than_allowed(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", server={"max_connections": 1})
    host, port = gateway.url.removeprefix("http://").split(":")
    _, first = await asyncio.open_connection(host, int(port))
    heard = await speak(gateway)
    assert heard.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in heard
    first.close()


async def test_pipelined_requests_are_answered_in_order(gateway: GatewayUnderTest) -> None:
    both = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" + request("/v1/nothing")
    heard = await speak(gateway, both)
    assert heard.index(b"200 OK") < heard.index(b"404 Not Found")


async def test_expect_continue(gateway: GatewayUnderTest) -> None:
    body = json.dumps(ASK).encode()
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (f"authorization: Bearer {TESTER_KEY}", f"content-length: {len(body)}", "expect: 100-continue")
    writer.write(request("/v1/chat/completions", *head, method="POST"))
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    writer.write(body)
    assert b"HTTP/1.1 200 OK" in await reader.read()
    writer.close()


async def test_anthropic_clients_send_their_key_in_another_header(gateway: GatewayUnderTest) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{gateway.url}/v1/models", headers={"x-api-key": TESTER_KEY})
    assert answer.status_code == 200


async def test_arbitrary_bodies_never_give_a_500(gateway: GatewayUnderTest) -> None:
    """Hypothesis drives the parser through the real socket: one gateway, many bodies."""
    bodies: list[bytes] = []

    @settings(max_examples=150, suppress_health_check=list(HealthCheck), database=None)
    @given(st.one_of(st.binary(max_size=200), _jsonish()))
    def collect(body: bytes) -> None:
        bodies.append(body)

    await asyncio.to_thread(collect)
    async with httpx.AsyncClient() as client:
        for path in ("chat/completions", "completions", "embeddings"):
            for body in bodies:
                answer = await client.post(f"{gateway.url}/v1/{path}", headers=AUTH, content=body)
                assert answer.status_code < 500, (path, body, answer.text)


def _jsonish() -> st.SearchStrategy[bytes]:
    scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    value = st.recursive(
        scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    )
    field = st.sampled_from(
        [
            "model",
            "messages",
            "stream",
            "stream_options",
            "n",
            "max_tokens",
            "tools",
            "prompt",
            "input",
            "metadata",
            "user",
        ]
    )
    model = st.just({"model": "sim-small"}) | st.just({})
    return st.builds(
        lambda fields, named: json.dumps({**fields, **named}).encode(), st.dictionaries(field, value, max_size=5), model
    )


async def test_an_offer_of_http2_is_ignored_and_the_body_is_not(gateway: GatewayUnderTest) -> None:
    """Java's HttpClient makes the offer with its first request."""
    body = json.dumps({**ASK, "messages": [{"role": "user", "content": "\r\nUpgrade: h2c"}]}).encode()
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
    head = (f"authorization: Bearer {TESTER_KEY}", f"content-length: {len(body)}", *offer)
    heard = await speak(gateway, request("/v1/chat/completions", *head, method="POST", body=body))
    assert heard.startswith(b"HTTP/1.1 200 ")


async def test_garbage_behind_a_request_does_not_get_into_its_stream(start_gateway: StartGateway) -> None:

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n')
        await exchange.client_left()

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url)
        host, port = gateway.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({**ASK, "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TESTER_KEY}\r\n"
        writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        heard = await reader.readuntil(b"}]}\n\n\r\n")
        writer.write(b"\x00 no request\r\n\r\n")
        heard += await reader.read()
        writer.close()
    assert b"HTTP/1.1 400" not in heard
    [row] = await gateway.eventually("requests", 1)
    assert row["outcome"] == "client_gone"
