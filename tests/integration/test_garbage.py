"""What a request makes is freed when it ends: nothing of it waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.api.asgi import AsgiReply
from gateway.api.connection import SCOPE_KEY
from gateway.context import RequestContext
from gateway.exchange import Exchange
from gateway.exchange.relay import Relay
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY

_OF_A_REQUEST = (RequestContext, Exchange, Relay, AsgiReply)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left() -> list[str]:
    return [type(each).__name__ for each in gc.get_objects() if isinstance(each, _OF_A_REQUEST) or _is_cycle(each)]


def _is_cycle(each: object) -> bool:
    """The server's side of a request to the gateway: the simulator has its own."""
    return isinstance(each, RequestResponseCycle) and SCOPE_KEY in each.scope


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("governed", [False, True])
async def test_nothing_is_left_for_the_collector(
    simulator: SimulatorServer, start_gateway: StartGateway, *, stream: bool, governed: bool
) -> None:
    budgets = {"all": {"scope": "global", "limit_usd": "1000", "window": "day"}} if governed else {}
    gateway = await start_gateway(f"{simulator.url}/v1", budgets=budgets)
    before = len(left())
    ask = {"model": "sim-small", "stream": stream, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
    async with httpx.AsyncClient() as client:
        for _ in range(5):
            answer = await client.post(
                f"{gateway.url}/v1/chat/completions",
                headers={"authorization": f"Bearer {TESTER_KEY}"},
                content=json.dumps(ask),
            )
            assert answer.status_code == 200, answer.text
    for _ in range(20):  # the connections of both sides hear that the client has gone
        await asyncio.sleep(0)
    assert len(left()) - before <= 2, left()  # a connection keeps its last cycle until its next one
