"""Every fault of a provider: what the client sees, how the attempt is booked, and that the next request is fine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest

MESSAGES = [{"role": "user", "content": "Tell me about tides."}]
TIMEOUTS = {"connect_s": 1, "first_byte_s": 0.3, "idle_s": 0.3, "total_s": 20}


async def ask(client: AsyncOpenAI, fault: str, *, stream: bool = False, **options: Any) -> Any:
    """One call under a fault; a stream is read to its end."""
    answer = await client.chat.completions.create(
        model="sim-small", messages=MESSAGES, stream=stream, extra_headers={"x-sim-fault": fault}, **options
    )  # type: ignore[call-overload]
    return [chunk async for chunk in answer] if stream else answer


@pytest.mark.parametrize(
    ("fault", "error", "status", "code"),
    [
        ("500", sdk.InternalServerError, 502, "upstream_error"),
        ("503", sdk.InternalServerError, 502, "upstream_error"),
        ("401", sdk.InternalServerError, 502, "upstream_credentials"),
        ("403", sdk.InternalServerError, 502, "upstream_credentials"),
        ("429;code=insufficient_quota", sdk.InternalServerError, 502, "upstream_credentials"),
    ],
)
async def test_error_statuses_that_are_ours_to_tell(
    openai: AsyncOpenAI,
    gateway: GatewayUnderTest,
    bill: Callable[[], list[Record]],
    fault: str,
    error: type[sdk.APIStatusError],
    status: int,
    code: str,
) -> None:
    with pytest.raises(error) as caught:
        await ask(openai, fault)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.response.headers["x-farebox-upstream-status"] == fault[:3]
    assert ("false" if code == "upstream_credentials" else None) == caught.value.response.headers.get("x-should-retry")
    [charge] = await gateway.rows("charges")
    assert (charge["outcome"], charge["cost_nano_usd"], charge["estimated"], bill()) == ("error", 0, 0, [])
    [request] = await gateway.rows("requests")
    assert (request["outcome"], request["error_code"], request["status"]) == ("upstream_error", code, status)


async def test_a_key_in_the_upstreams_error_never_reaches_the_client(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    provider = {"base_url": f"{simulator.url}/v1", "headers": {"Authorization": "Bearer sim-bad-key"}}
    gateway = await start_gateway(provider["base_url"], providers={"sim": provider})
    async with gateway.sdk() as client:
        with pytest.raises(sdk.InternalServerError) as caught:
            await ask(client, "")
    assert caught.value.code == "upstream_credentials"
    assert "sim-bad" not in str(caught.value.body) + str(caught.value.response.headers)


async def test_other_4xx_come_through_unchanged(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.BadRequestError, match="too hot") as caught:
        await ask(openai, "400;message=too hot;code=odd")
    assert caught.value.response.headers["x-farebox-upstream-status"] == "400"
    with pytest.raises(sdk.RateLimitError) as limited:
        await ask(openai, "429;retry_after=7")
    assert limited.value.response.headers["retry-after"] == "7"


async def test_a_refused_connection_costs_nothing_and_heals(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, simulator: SimulatorServer
) -> None:
    await ask(openai, "")
    await simulator.refuse()
    while gateway.app.services.status()["upstream_connections"]["idle"]:
        await asyncio.sleep(0)  # until the gateway has seen its idle connection closed
    with pytest.raises(sdk.InternalServerError) as caught:
        await ask(openai, "")
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")
    await simulator.accept()
    assert (await ask(openai, "")).usage
    charges = await gateway.rows("charges")
    assert [(charge["outcome"], charge["cost_nano_usd"] > 0) for charge in charges] == [
        ("ok", True), ("unreachable", False), ("ok", True),
    ]  # fmt: skip


async def test_timeouts(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(
        f"{simulator.url}/v1", providers={"sim": {"base_url": f"{simulator.url}/v1", "timeouts": TIMEOUTS}}
    )
    async with gateway.sdk() as client:
        with pytest.raises(sdk.InternalServerError) as caught:
            await ask(client, "stall", max_tokens=50)
        assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
        with pytest.raises(sdk.APIError, match="did not answer in time"):
            await ask(client, "stall-mid;after=5", stream=True)
    first, second = await gateway.rows("charges")
    assert (first["outcome"], first["estimated"]) == ("timeout", 1)
    assert 0 < first["output_tokens"] <= 50, "unseen, so estimated from the time it took, within the client's bound"
    assert (second["outcome"], second["estimated"]) == ("timeout", 1)
    assert second["output_tokens"] >= 5


@pytest.mark.parametrize("fault", ["cut;after=4", "no-done;after=4", "unterminated;after=4", "error-event;after=4"])
async def test_a_stream_that_breaks_is_told_and_charged(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]], fault: str
) -> None:
    with pytest.raises(sdk.APIError):
        await ask(openai, fault, stream=True)
    [charge] = await gateway.rows("charges")
    [request] = await gateway.rows("requests")
    [record] = bill()
    assert (charge["outcome"], charge["estimated"], charge["purpose"]) == ("cut", 1, "failed")
    assert charge["output_tokens"] >= record.completion_tokens > 0
    assert request["outcome"] == "cut"
    assert request["error_code"] == "upstream_error"


@pytest.mark.parametrize("fault", ["cut;after=4", "html", "garbage", "bad-json", "reset"])
async def test_a_plain_answer_that_is_none(openai: AsyncOpenAI, gateway: GatewayUnderTest, fault: str) -> None:
    with pytest.raises(sdk.InternalServerError) as caught:
        await ask(openai, fault)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")
    [charge] = await gateway.rows("charges")
    assert charge["outcome"] in ("cut", "malformed")
    assert charge["estimated"] == 1
    assert charge["cost_nano_usd"] > 0, "it may have been billed"


@pytest.mark.parametrize("stream", [False, True])
async def test_missing_usage_is_estimated_never_zero(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]], stream: bool
) -> None:
    await ask(openai, "missing-usage", stream=stream)
    [charge] = await gateway.rows("charges")
    [record] = bill()
    assert (charge["outcome"], charge["estimated"]) == ("ok", 1)
    assert record.cost_nano_usd <= charge["cost_nano_usd"] <= 12 * record.cost_nano_usd


@pytest.mark.parametrize(
    "fault", ["late-usage;ms=20", "usage-after-done", "usage-on-last", "gzip", "multiline", "comments"]
)
@pytest.mark.parametrize("wants_usage", [False, True])
async def test_odd_streams_are_exact(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]], fault: str, wants_usage: bool
) -> None:
    chunks = await ask(openai, fault, stream=True, stream_options={"include_usage": wants_usage})
    assert any(chunk.choices and chunk.choices[0].finish_reason for chunk in chunks)
    [charge] = await gateway.eventually("charges", 1)
    assert (charge["outcome"], charge["estimated"], charge["cost_nano_usd"]) == ("ok", 0, bill()[0].cost_nano_usd)


async def test_a_compressed_plain_answer(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]]
) -> None:
    assert (await ask(openai, "gzip")).choices[0].message.content
    assert (await gateway.rows("charges"))[0]["cost_nano_usd"] == bill()[0].cost_nano_usd
