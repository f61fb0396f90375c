"""Clients that stop reading: nothing waits for them for ever, and nothing of them is lost."""

from __future__ import annotations

import asyncio
import json
import socket

from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY
from tests.integration.upstream import Exchange, Upstream

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 60_000 + b'"}}]}\n\n'


async def endless(exchange: Exchange) -> None:
    """Generate for as long as the gateway takes it."""
    await exchange.head()
    while True:
        await exchange.chunk(EVENT)


def ask_and_never_read(url: str, model: str = "sim-small") -> socket.socket:
    body = json.dumps({"model": model, "messages": [], "stream": True})
    host, port = url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TESTER_KEY}\r\n"
    client.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    return client


async def test_a_drain_records_a_stream_whose_client_does_not_read(start_gateway: StartGateway) -> None:
    async with Upstream(endless) as upstream:
        gateway = await start_gateway(upstream.base_url, server={"drain_s": 0.1})
        client = ask_and_never_read(gateway.url)
        while not upstream.requests:
            await asyncio.sleep(0)
        await gateway.stop()
        client.close()
    [request] = gateway.rows_on_disk("requests")
    [charge] = gateway.rows_on_disk("charges")
    assert (request["outcome"], charge["outcome"]) == ("drained", "drained")
    assert request["cost_nano_usd"] == charge["cost_nano_usd"] > 0
