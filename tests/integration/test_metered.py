"""Every way in which an answer can end, many at once: the books are right afterwards, whatever the clients did."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest
from tests.integration.test_budgets import MESSAGES, SLOW, counter, sections
from tests.integration.test_slow_clients import ask_and_never_read
from tests.integration.upstream import Exchange, Upstream

ENDINGS = (
    *("", "", "", "cut;after=20", "no-done;after=10", "unterminated;after=10", "error-event;after=10", "bad-json"),
    *(
        "garbage",
        "missing-usage",
        "late-usage;ms=20",
        "usage-after-done",
        "usage-on-last",
        "500",
        "504",
        "429",
        "reset",
    ),
    *("html", "stall", "stall-mid;after=15", "linger;ms=40", "gzip", "multiline", "comments", "single"),
)
"""Faults of the simulator; those that stall end when their client leaves."""


class Fleet:
    """Clients of one gateway, each doing something at random."""

    def __init__(self, client: AsyncOpenAI, seed: int) -> None:
        self._client = client
        self._random = random.Random(seed)
        self.outcomes: Counter[str] = Counter()

    async def run(self, count: int) -> None:
        """So many of them at once."""
        await asyncio.gather(*(self._one() for _ in range(count)))

    async def _one(self) -> None:
        draw = self._random
        ending = draw.choice(ENDINGS)
        leaves = ending.startswith("stall") or draw.random() < 0.2
        length = draw.choice((5, 60, 300))
        faults = ",".join(part for part in (SLOW, f"length;tokens={length}", ending) if part)
        request: dict[str, Any] = {
            "model": draw.choice(("metered", "metered", "sim-small")),
            "messages": MESSAGES,
            "extra_headers": {"x-sim-fault": faults, "x-farebox-user": draw.choice("ab")},
        }
        if draw.random() < 0.5:
            request["max_tokens"] = draw.choice((50, 200, 1000))
        if draw.random() < 0.3:
            request["n"] = 2
        stream = draw.random() < 0.6
        patience_s = draw.choice((0.0, 0.02, 0.1)) if leaves else 20.0
        try:
            await asyncio.wait_for(self._ask(request, stream, draw.random() < 0.5), patience_s)
            self.outcomes["ok"] += 1
        except TimeoutError:
            self.outcomes["left"] += 1
        except sdk.APIStatusError as error:
            self.outcomes[str(error.status_code)] += 1
        except (sdk.APIError, UnicodeDecodeError, json.JSONDecodeError):  # what no SDK expects is no error of theirs
            self.outcomes["broken"] += 1

    async def _ask(self, request: dict[str, Any], stream: bool, wants_usage: bool) -> None:
        if not stream:
            await self._client.chat.completions.create(**request)
            return
        options = {"stream_options": {"include_usage": True}} if wants_usage else {}
        async for _ in await self._client.chat.completions.create(stream=True, **options, **request):
            pass


async def quiet(gateway: GatewayUnderTest, simulator: SimulatorServer) -> None:
    """Wait until nothing is under way on either side."""
    async with asyncio.timeout(20):
        while gateway.app.active or simulator.bill.open:
            await asyncio.sleep(0.01)
    await gateway.app.flush()


async def check_books(gateway: GatewayUnderTest, bill: list[Record]) -> None:
    """Nothing is reserved; what is posted is what was charged; no charge is below its bill."""
    charges = await gateway.rows("charges")
    store = gateway.app.services.governance._books.store
    assert [state for state in await store.counters() if state.reserved] == []
    charged = Counter[str]()
    for charge in charges:
        charged[charge["request_id"]] += charge["cost_nano_usd"]
    billed = Counter[str]()
    for record in bill:
        billed[record.caller_id or ""] += record.cost_nano_usd
    by_request = {row["request_id"]: row for row in charges}
    assert {request: by_request.get(request) for request in billed if charged[request] < billed[request]} == {}
    posted = {line.value: line.posted for line in await gateway.app.services.governance.budgets("all")}
    assert posted == {"tester": sum(charged.values())}
    assert (await gateway.app.services.governance.verify()).differences == ()


@pytest.mark.parametrize(("seed", "limit_usd"), [(1, "1"), (2, "1"), (3, "0.02"), (4, "0.02")])
async def test_whatever_clients_and_provider_do_the_books_are_right(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]], seed: int, limit_usd: str
) -> None:
    agent = {"reserve": "calibrated", "assemble_whole_answers": seed % 2 == 0, "clamp": {"min_output_tokens": 20}}
    written = sections(limit_usd, agent, queue={"wait_s": 0.3, "max_waiting": 20})
    written["budgets"]["each"] = {"scope": "user:*", "limit_usd": limit_usd, "window": "day"}
    written["limits"] = {"some": {"scope": "agent:*", "concurrency": 30, "tokens": "10_000_000/min"}}
    written["agents"]["tester"]["requires"] = ["user"]
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    async with gateway.sdk() as client:
        fleet = Fleet(client, seed)
        await fleet.run(40)
    await quiet(gateway, simulator)
    await check_books(gateway, bill())
    if limit_usd != "1":
        (line,) = await gateway.app.services.governance.budgets("all")
        assert line.posted <= line.budget.limit
        assert fleet.outcomes["402"] + fleet.outcomes["429"] > 0, fleet.outcomes
    assert fleet.outcomes["ok"] > 0, fleet.outcomes


# --- one at a time, with an upstream that does as it is told ---


def delta(text: str, **choice: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}, **choice}]
    return b"data: " + json.dumps({"id": "c", "choices": choices}).encode() + b"\n\n"


def read_all(client: socket.socket) -> bytes:
    """Read until the answer's end."""
    received = bytearray()
    while not received.endswith(b"\r\n0\r\n\r\n") and (piece := client.recv(1_000_000)):
        received += piece
    client.close()
    return bytes(received)


LAST = delta("", finish_reason="stop")
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":40,"total_tokens":49}}\n\n'
DONE = b"data: [DONE]\n\n"
CALIBRATED = {"reserve": "calibrated", "assemble_whole_answers": True}


async def test_a_client_that_does_not_read_holds_no_money(start_gateway: StartGateway) -> None:
    """The stream is read and settled at the provider's pace; the client gets all of it when it reads."""
    text = "x" * 100_000

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for _ in range(75):
            await exchange.chunk(delta(text))
        await exchange.chunk(LAST + USAGE + DONE)
        await exchange.chunk(b"")

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url, **sections("1", CALIBRATED))
        client = ask_and_never_read(gateway.url, "metered")
        (charge,) = await gateway.eventually("charges", 1)
        assert (charge["outcome"], charge["estimated"]) == ("ok", 0)
        assert await counter(gateway) == (charge["cost_nano_usd"], 0)
        assert gateway.app.active == 1
        received = await asyncio.to_thread(read_all, client)
        assert received.count(text.encode()) == 75
        assert received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    (row,) = await gateway.eventually("requests", 1)
    assert row["outcome"] == "ok"


async def test_what_came_before_a_slow_clients_stream_broke_reaches_it(start_gateway: StartGateway) -> None:
    text = "x" * 100_000

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for _ in range(75):
            await exchange.chunk(delta(text))
        raise ConnectionError

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url, **sections("1", CALIBRATED))
        client = ask_and_never_read(gateway.url, "metered")
        (charge,) = await gateway.eventually("charges", 1)
        assert charge["outcome"] == "cut"
        received = await asyncio.to_thread(read_all, client)
    assert received.count(text.encode()) == 75
    assert received.index(b'"upstream_error"') > received.rindex(text.encode())
    assert b"[DONE]" not in received


async def test_an_account_of_ours_that_ends_in_our_own_stream_is_told_as_such(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(delta("a") + b'data: {"error":{"code":"insufficient_quota","message":"sk-secret"}}\n\n')
        await exchange.chunk(b"")

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url, **sections("1", CALIBRATED))
        async with gateway.sdk() as client:
            with pytest.raises(sdk.InternalServerError) as failed:
                await client.chat.completions.create(model="metered", messages=MESSAGES)
    assert failed.value.code == "upstream_credentials"
    assert "sk-secret" not in str(failed.value)
    assert (await counter(gateway))[1] == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stream_that_cannot_be_read_is_not_metered_blindly(start_gateway: StartGateway, stream: bool) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(
            b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ncontent-encoding: br\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        await exchange.client_left()

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url, **sections("1", CALIBRATED))
        async with gateway.sdk() as client:
            with pytest.raises(sdk.InternalServerError):
                await client.chat.completions.create(model="metered", messages=MESSAGES, stream=stream)
        (charge,) = await gateway.eventually("charges", 1)
    assert charge["cost_nano_usd"] > 0
    assert (await counter(gateway))[1] == 0


async def test_a_proxy_that_gave_up_may_be_billed_however_its_error_ends(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 504 X\r\ncontent-length: 100\r\n\r\nhalf")
        raise ConnectionError

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url, **sections("1"))
        async with gateway.sdk() as client:
            with pytest.raises(sdk.InternalServerError):
                await client.chat.completions.create(model="sim-small", messages=MESSAGES)
        (charge,) = await gateway.eventually("charges", 1)
    assert (charge["cost_nano_usd"], charge["resolution"]) == (charge["reserved_nano_usd"], "settled")


async def test_a_run_that_is_closed_ends_its_streams(start_gateway: StartGateway) -> None:
    """When the stream asks for more it hears that its reservation is nobody's any more."""
    closed = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(delta("a"))
        await closed.wait()
        with contextlib.suppress(ConnectionError):
            for _ in range(5_000):
                await exchange.chunk(delta("b"))
                await asyncio.sleep(0)

    agent = {**CALIBRATED, "runs": {"cost_usd": "1"}}
    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url, **sections("1", agent))
        async with gateway.sdk() as client:
            stream = await client.chat.completions.create(
                model="metered", messages=MESSAGES, stream=True, extra_headers={"x-farebox-run": "r1"}
            )
            chunks = aiter(stream)
            await anext(chunks)
            await gateway.app.services.governance.close("tester/r1", "enough")
            closed.set()
            finish = [chunk.choices[0].finish_reason async for chunk in chunks if chunk.choices]
        (charge,) = await gateway.eventually("charges", 1)
    assert finish[-1] == "length"
    assert (charge["outcome"], charge["run_path"]) == ("shortened", "tester/r1")
    assert await counter(gateway) == (charge["cost_nano_usd"], 0)


async def test_all_answers_of_a_stream_end_properly_when_the_money_does(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        with contextlib.suppress(ConnectionError):
            for _ in range(20_000):
                await exchange.chunk(delta("b") + delta("b", index=1))
                await asyncio.sleep(0)

    async with Upstream(script) as upstream:
        gateway = await start_gateway(upstream.base_url, **sections("0.004", CALIBRATED))
        finished = {}
        async with gateway.sdk() as client:
            async for chunk in await client.chat.completions.create(
                model="metered", messages=MESSAGES, stream=True, n=2, max_tokens=16_000
            ):
                finished |= {choice.index: choice.finish_reason for choice in chunk.choices if choice.finish_reason}
        posted, reserved = await counter(gateway)
        gateway = await start_gateway(upstream.base_url, **sections("0.004", CALIBRATED))
        async with gateway.sdk() as client:
            whole = await client.chat.completions.with_raw_response.create(model="metered", messages=MESSAGES)
    assert finished == {0: "length", 1: "length"}
    assert (reserved, posted <= 4_000_000) == (0, True)
    answer = whole.parse()
    assert answer.choices[0].finish_reason == "length"
    assert set(answer.choices[0].message.content or "") == {"b"}
    assert answer.usage is not None
    assert whole.headers["content-type"] == "application/json"
    assert float(whole.headers["x-farebox-cost-usd"]) > 0


async def test_an_agents_longest_answer_holds_where_nothing_governs_it(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.whole(
            b'{"choices":[],"data":[{"embedding":[0.5],"index":0}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
        )

    async with Upstream(script) as upstream:
        agents = {"tester": {"team": "quality", "max_output_tokens": 70}, "other": {"team": "others"}}
        gateway = await start_gateway(upstream.base_url, agents=agents)
        async with gateway.sdk() as client:
            await client.chat.completions.create(model="sim-small", messages=MESSAGES, max_completion_tokens=900)
            await client.chat.completions.create(model="sim-small", messages=MESSAGES)
            await client.chat.completions.create(model="sim-small", messages=MESSAGES, max_tokens=7)
            await client.embeddings.create(model="sim-small", input="x")
        bodies = [json.loads(request.body) for request in upstream.requests]
    assert [body.get("max_completion_tokens", body.get("max_tokens")) for body in bodies] == [70, 70, 7, None]
