"""Faults and cancellation in streams of typed events, and what is billed then."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import Answer, connected, post

APIS = ("responses", "messages")
HEADERS = {"x_api_key": "k", "anthropic_version": "2023-06-01"}
CONTENT = {"responses": "response.output_text.delta", "messages": "content_block_delta"}
LAST = {"responses": "response.completed", "messages": "message_stop"}


def body_of(api: str, *, stream: bool = True) -> dict[str, Any]:
    if api == "responses":
        return {"model": "sim-small", "input": "Why is the sky blue?", "stream": stream}
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    return {"model": "sim-claude", "max_tokens": 500, "messages": messages, "stream": stream}


async def send(sim: SimulatorServer, api: str, fault: str, *, stream: bool = True) -> Answer:
    return await post(sim, body_of(api, stream=stream), path=f"/v1/{api}", x_sim_fault=fault, **HEADERS)


def names(answer: Answer) -> list[str]:
    lines = answer.body.decode("latin-1").split("\n")
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


@pytest.mark.parametrize("api", APIS)
async def test_a_cut_is_billed_up_to_where_it_was(sim: SimulatorServer, api: str) -> None:
    answer = await send(sim, api, "cut;after=5, single")
    assert answer.reset
    assert names(answer).count(CONTENT[api]) == 5
    (record,) = sim.bill.records
    assert (record.outcome, record.completion_tokens, record.usage_delivered) == ("cut", 5, False)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", ["no-done", "unterminated"])
async def test_streams_without_their_end(sim: SimulatorServer, api: str, fault: str) -> None:
    answer = await send(sim, api, f"{fault};after=5, single")
    assert (answer.complete, LAST[api] in names(answer)) == (True, False)
    assert answer.body.endswith(b"\n\n") == (fault == "no-done")
    assert sim.bill.records[0].outcome == "cut"


async def test_an_error_in_a_response(sim: SimulatorServer) -> None:
    events = (await send(sim, "responses", "error-event;after=5")).named()
    name, error = events[-1]
    assert (name, error["type"], error["code"]) == ("error", "error", "server_error")
    assert error["message"]
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))


async def test_a_response_that_fails(sim: SimulatorServer) -> None:
    events = (await send(sim, "responses", "error-event;after=5;as=failed")).named()
    name, failed = events[-1]
    assert (name, failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"]["code"] == "server_error"
    assert failed["sequence_number"] == len(events) - 1


async def test_an_error_in_a_message(sim: SimulatorServer) -> None:
    events = (await send(sim, "messages", "error-event;after=5")).named()
    error = {"type": "overloaded_error", "message": "Overloaded"}
    assert events[-1] == ("error", {"type": "error", "error": error})


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", ["bad-json", "garbage"])
async def test_streams_with_something_else_in_them(sim: SimulatorServer, api: str, fault: str) -> None:
    answer = await send(sim, api, f"{fault};after=5")
    assert names(answer)[-1] == LAST[api]
    with pytest.raises((ValueError, UnicodeDecodeError)):
        answer.named()


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", [False, True])
async def test_missing_usage(sim: SimulatorServer, api: str, stream: bool) -> None:
    answer = await send(sim, api, "missing-usage", stream=stream)
    assert b'"input_tokens"' not in answer.body
    (record,) = sim.bill.records
    assert (record.outcome, record.usage_delivered) == ("ok", False)
    assert record.cost_nano_usd > 0


@pytest.mark.parametrize("api", APIS)
async def test_late_usage_comes(sim: SimulatorServer, api: str) -> None:
    assert (await send(sim, api, "late-usage;ms=1")).named()[-1][0] == LAST[api]
    assert sim.bill.records[0].usage_delivered


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", ["multiline", "comments", "gzip"])
async def test_framing(sim: SimulatorServer, api: str, fault: str) -> None:
    answer = await send(sim, api, fault)
    body = gzip.decompress(answer.body) if fault == "gzip" else answer.body
    events = [event for event in body.decode().split("\n\n") if event and not event.startswith(":")]
    for event in events:
        name, *lines = event.split("\n")
        assert json.loads("".join(line.removeprefix("data: ") for line in lines))["type"] == name.removeprefix(
            "event: "
        )
    assert (fault == "multiline") == any(event.count("data: ") > 1 for event in events)
    assert (fault == "comments") == (b": ping\n\n" in body)


@pytest.mark.parametrize("api", APIS)
async def test_a_length(sim: SimulatorServer, api: str) -> None:
    await send(sim, api, "length;tokens=37")
    assert sim.bill.records[0].completion_tokens == 37


@pytest.mark.parametrize("api", APIS)
async def test_who_leaves_pays_for_what_was_made(sim: SimulatorServer, api: str) -> None:
    fault = "length;tokens=400, single, slow;token_ms=50, linger;tokens=3"
    async with connected(sim, body_of(api), path=f"/v1/{api}", x_sim_fault=fault, **HEADERS) as (reader, _):
        await reader.readuntil(f"event: {CONTENT[api]}".encode())
    await sim.bill.wait(1)
    (record,) = sim.bill.records
    assert record.outcome == "cancelled"
    assert 4 <= record.completion_tokens < 400


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", ["cut", "bad-json", "garbage", "html", "reset"])
async def test_plain_answers(sim: SimulatorServer, api: str, fault: str) -> None:
    answer = await send(sim, api, fault, stream=False)
    with pytest.raises((ValueError, UnicodeDecodeError)):
        answer.json()
    assert len(sim.bill.records) == (fault in {"cut", "bad-json", "garbage"})
