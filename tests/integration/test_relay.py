"""What passes through the gateway, byte for byte and in its own time."""

from __future__ import annotations

import asyncio
import json

import httpx

from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY, GatewayUnderTest
from tests.integration.upstream import Exchange, Upstream

AUTH = {"authorization": f"Bearer {TESTER_KEY}", "content-type": "application/json"}
USAGE = b'{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}'
STREAM = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def event(text: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()


LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE_EVENT = b'data: {"choices":[],"usage":' + USAGE + b"}\n\n"
DONE = b"data: [DONE]\n\n"


async def test_the_first_chunk_is_out_before_the_second_is_in(start_gateway: StartGateway) -> None:
    first_seen = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("one"))
        await first_seen.wait()  # only the client's having got the first lets the second be sent
        await exchange.chunk(event("two") + LAST + USAGE_EVENT + DONE)
        await exchange.chunk(b"")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        gateway = await start_gateway(upstream.base_url)
        async with client.stream("POST", f"{gateway.url}/v1/chat/completions", headers=AUTH, json=STREAM) as answer:
            chunks = answer.aiter_raw()
            assert await anext(chunks) == event("one")
            first_seen.set()
            rest = b"".join([chunk async for chunk in chunks])
        assert rest == event("two") + LAST + DONE
        await gateway.stop()


async def test_comments_and_multi_line_events_stay_as_they_are(start_gateway: StartGateway) -> None:
    odd = (
        b": keep-alive\n\n"
        b'event: message\nid: 7\ndata: {"choices":[{"index":0,\ndata:  "delta":{"content":"hi"}}]}\n\n'
        b'data: {"choices":[],"unknown":{"a":[1,2, 3]},"usage":null}\r\n\r\n'
        b"retry: 10\n\n"
    )

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for byte in odd:  # one byte a chunk: events are put together again
            await exchange.chunk(bytes([byte]))
        await exchange.chunk(LAST + USAGE_EVENT + DONE)
        await exchange.chunk(b"")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        gateway = await start_gateway(upstream.base_url)
        answer = await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json=STREAM)
        assert answer.content == odd + LAST + DONE
        assert (await gateway.rows("charges"))[0]["estimated"] == 0
        await gateway.stop()


async def test_bodies_pass_byte_for_byte(start_gateway: StartGateway) -> None:
    reply = b'{ "id":"x",\n "choices":[ ], "novel":{"deep":[1e400,"\\u00e9"]}, "usage":' + USAGE + b" }\n"

    async def script(exchange: Exchange) -> None:
        await exchange.whole(reply, "openai-processing-ms: 12\r\nset-cookie: a=b\r\nx-ratelimit-limit-requests: 9\r\n")

    asked = b'{"messages": [ ],\n "unknown" : {"x": 1.50, "y":"\\u00e9"} , "model":"sim-small","seed":7}'
    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        gateway = await start_gateway(upstream.base_url)
        headers = {**AUTH, "x-farebox-run": "r1", "x-custom": "kept", "cookie": "secret=1", "traceparent": "00-1"}
        answer = await client.post(f"{gateway.url}/v1/chat/completions", headers=headers, content=asked)
        assert answer.content == reply
        assert answer.headers["openai-processing-ms"] == "12"
        assert not {"set-cookie", "x-ratelimit-limit-requests"} & set(answer.headers)
        [request] = upstream.requests
        assert request.body == asked
        assert request.headers["x-custom"] == "kept"
        assert not {"x-farebox-run", "authorization", "cookie", "traceparent"} & set(request.headers)
        assert request.headers["x-request-id"] == answer.headers["x-request-id"]
        await gateway.stop()


async def test_only_the_model_and_the_usage_option_are_touched(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("x") + LAST + USAGE_EVENT + DONE)
        await exchange.chunk(b"")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        model = {"provider": "sim", "model": "upstream-name", "price": {"input": "1", "output": "2"}}
        gateway = await start_gateway(upstream.base_url, models={"sim-small": model})
        body = {**STREAM, "stream_options": {"include_usage": False, "extra": 1}, "novel": {"kept": True}}
        await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json=body)
        sent = json.loads(upstream.requests[0].body)
        assert sent == {**body, "model": "upstream-name", "stream_options": {"include_usage": True, "extra": 1}}
        await gateway.stop()


async def test_a_slow_client_slows_the_upstream_down(start_gateway: StartGateway) -> None:
    """The upstream can't send without end into the gateway's memory while the client doesn't read."""
    sent_bytes = 0
    big = event("x" * 65_536)

    async def script(exchange: Exchange) -> None:
        nonlocal sent_bytes
        await exchange.head()
        for _ in range(2_000):  # 128 MB
            await exchange.chunk(big)
            sent_bytes += len(big)

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url)
        host, port = gateway.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
        body = json.dumps(STREAM).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
            % (TESTER_KEY.encode(), len(body), body)
        )
        await reader.readuntil(b"\r\n\r\n")
        settled = -1
        while settled != sent_bytes:  # until nothing moves any more
            settled = sent_bytes
            for _ in range(200):
                await asyncio.sleep(0.001)
        assert 0 < sent_bytes < 64_000_000, "sockets' buffers and our bounded one, not the whole answer"
        writer.transport.abort()
        [request] = await gateway.eventually("requests", 1)
        assert request["outcome"] == "client_gone"
        await gateway.stop()


async def test_the_upstream_is_cancelled_when_its_client_leaves(start_gateway: StartGateway) -> None:
    left = asyncio.Event()
    begun = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        begun.set()
        await exchange.client_left()
        left.set()

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url)
        async with httpx.AsyncClient() as client:
            plain = {**STREAM, "stream": False, "max_tokens": 100}
            asking = asyncio.create_task(
                client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json=plain, timeout=30)
            )
            await begun.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await left.wait()
        [request] = await gateway.eventually("requests", 1)
        [charge] = await gateway.rows("charges")
        assert (request["outcome"], request["status"], charge["outcome"]) == ("client_gone", 499, "cancelled")
        assert (charge["estimated"], charge["cost_nano_usd"] > 0) == (1, True)
        await gateway.stop()


async def test_connections_to_the_provider_are_reused(gateway: GatewayUnderTest) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(5):
            await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json={**STREAM, "stream": False})
    assert sum(gateway.app.services.status()["upstream_connections"].values()) == 1


async def test_an_error_in_the_guise_of_an_answer_is_told_as_an_error(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.whole(b'{"error":{"message":"Provider returned error","code":502}}')

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        gateway = await start_gateway(upstream.base_url)
        answer = await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json={**STREAM, "stream": False})
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        [charge] = await gateway.rows("charges")
        assert (charge["outcome"], charge["cost_nano_usd"]) == ("error", 0)
        await gateway.stop()


async def test_a_stream_of_two_answers_cut_after_the_first_is_no_success(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("one") + LAST)
        await exchange.chunk(b"")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        gateway = await start_gateway(upstream.base_url)
        answer = await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json={**STREAM, "n": 2})
        assert '"code":"upstream_error"' in answer.text
        assert [charge["outcome"] for charge in await gateway.rows("charges")] == ["cut"]
        await gateway.stop()


async def test_a_header_that_the_provider_has_configured_is_not_the_clients_to_send(
    start_gateway: StartGateway,
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.whole(b'{"choices":[],"usage":' + USAGE + b"}")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        provider = {"base_url": upstream.base_url, "headers": {"X-Title": "ours"}}
        gateway = await start_gateway(upstream.base_url, providers={"sim": provider})
        headers = {**AUTH, "x-title": "theirs", "x-other": "kept"}
        await client.post(f"{gateway.url}/v1/chat/completions", headers=headers, json={**STREAM, "stream": False})
        assert upstream.requests[0].headers["x-title"] == "ours"
        assert upstream.requests[0].headers["x-other"] == "kept"
        await gateway.stop()


async def test_our_key_in_an_error_event_stays_here(start_gateway: StartGateway) -> None:
    secret = "sk-upstream-secret-123"
    errors = [b"Incorrect API key provided: sk-upst***", b"odd failure with %s inside" % secret.encode()]
    begun = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        text = errors[len(upstream.requests) - 1]
        await exchange.chunk(event("x"))
        await begun.wait()  # the client has seen the answer's beginning
        await exchange.chunk(b'data: {"error":{"message":"' + text + b'"}}\n\n')
        await exchange.chunk(b"")

    async def ask(client: httpx.AsyncClient, url: str) -> str:
        begun.clear()
        seen = []
        async with client.stream("POST", f"{url}/v1/chat/completions", headers=AUTH, json=STREAM) as answer:
            async for piece in answer.aiter_text():
                seen.append(piece)
                begun.set()
        return "".join(seen)

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        provider = {"base_url": upstream.base_url, "headers": {"Authorization": f"Bearer {secret}"}}
        gateway = await start_gateway(upstream.base_url, providers={"sim": provider})
        account = await ask(client, gateway.url)
        assert '"code":"upstream_credentials"' in account
        assert "sk-upst" not in account
        assert "odd failure with [masked] inside" in await ask(client, gateway.url)
        charges = await gateway.rows("charges")
        assert [(charge["outcome"], charge["estimated"]) for charge in charges] == [("cut", 1), ("cut", 1)]
        await gateway.stop()


async def test_an_error_before_any_content_is_an_error_and_no_stream(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        role = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
        await exchange.chunk(b": waiting\n\n" + role + b'data: {"error":{"message":"overloaded"}}\n\n')
        await exchange.chunk(b"")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        gateway = await start_gateway(upstream.base_url)
        answer = await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json=STREAM)
        assert (answer.status_code, answer.json()["error"]["metadata"]["reason"]) == (502, "error_in_answer")
        await gateway.stop()


async def test_a_gateway_time_out_upstream_may_have_been_billed(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 504 Gateway Time-out\r\ncontent-length: 0\r\n\r\n")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        gateway = await start_gateway(upstream.base_url)
        plain = {**STREAM, "stream": False}
        answer = await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json=plain)
        assert (answer.status_code, answer.headers["x-farebox-upstream-status"]) == (502, "504")
        [charge] = await gateway.rows("charges")
        assert (charge["outcome"], charge["estimated"], charge["cost_nano_usd"] > 0) == ("timeout", 1, True)
        await gateway.stop()


async def test_a_stream_without_a_type_is_a_stream(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await exchange.chunk(event("one") + LAST + USAGE_EVENT + DONE)
        await exchange.chunk(b"")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        gateway = await start_gateway(upstream.base_url)
        answer = await client.post(f"{gateway.url}/v1/chat/completions", headers=AUTH, json=STREAM)
        assert answer.content == event("one") + LAST + DONE
        await gateway.stop()


async def test_a_client_that_never_reads_is_cut_off_and_its_call_is_settled(start_gateway: StartGateway) -> None:
    big = event("x" * 65_536)

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.chunk(big)

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url, server={"write_timeout_s": 0.2})
        host, port = gateway.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1)
        body = json.dumps(STREAM).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
            % (TESTER_KEY.encode(), len(body), body)
        )
        [request] = await gateway.eventually("requests", 1)
        [charge] = await gateway.rows("charges")
        assert (request["outcome"], charge["outcome"]) == ("client_gone", "cancelled")
        writer.transport.abort()
        await gateway.stop()
