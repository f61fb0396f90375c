"""Budgets, from the SDK to the journal: refused, clamped, waited for, metered, given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai as sdk
import pytest

from gateway.simulator import tokenizer
from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest

AGENT = {"team": "quality", "trust": ["value"]}
SLOW = "slow;first_ms=0;token_ms=1"
METERED = {
    "countable_stream": True,
    "stops_on_disconnect": True,
    "metering": {"tokens_per_event": 4, "tokens_per_s": 1000, "cancel_s": 0.05},
}
PRICE = {"input": "0.15", "cache_read": "0.075", "output": "0.60"}
MESSAGES: Any = [{"role": "user", "content": "Say something."}]


def sections(limit_usd: str, agent: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """One budget on the agent, and a model whose streams can be counted."""
    models = {
        "sim-small": {"provider": "sim", "price": PRICE, "context_tokens": 128_000, "max_output_tokens": 16_384},
        "metered": {
            "deployments": [
                {
                    "provider": "sim",
                    "model": "sim-small+fault-slow",  # its defaults change nothing: another deployment of the same
                    "price": PRICE,
                    "context_tokens": 128_000,
                    "max_output_tokens": 16_384,
                    **METERED,
                }
            ]
        },
    }
    return {
        "models": models,
        "agents": {"tester": {**AGENT, **(agent or {})}, "other": {"team": "others"}},
        "budgets": {"all": {"scope": "agent:tester", "limit_usd": limit_usd, "window": "total"}},
        **more,
    }


async def counter(gateway: GatewayUnderTest) -> tuple[int, int]:
    """Posted and reserved of the budget."""
    lines = await gateway.app.services.governance.budgets("all")
    return lines[0].posted, lines[0].reserved


async def test_a_spent_budget_is_a_402_after_a_single_request(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("0.000001"))
    async with gateway.sdk(max_retries=2) as client:
        with pytest.raises(sdk.APIStatusError) as refused:
            await client.chat.completions.create(model="sim-small", messages=MESSAGES)
    assert refused.value.status_code == 402
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert refused.value.body["code"] == "budget_exceeded"  # type: ignore[index]
    assert refused.value.body["metadata"]["scope"] == "agent:tester"  # type: ignore[index]
    assert bill() == []
    (row,) = await gateway.rows("requests")  # one request: the SDK did not try again
    assert (row["outcome"], row["status"], row["error_code"]) == ("refused", 402, "budget_exceeded")


async def test_what_is_posted_is_the_bill_and_nothing_stays_reserved(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("1"))
    async with gateway.sdk() as client:
        for stream in (False, True):
            async with client.chat.completions.with_streaming_response.create(
                model="metered", messages=MESSAGES, stream=stream
            ) as answer:
                assert "x-farebox-budget-remaining-usd" in answer.headers
                await answer.read()
        await gateway.eventually("charges", 2)
    assert await counter(gateway) == (sum(record.cost_nano_usd for record in bill()), 0)
    assert (await gateway.app.services.governance.verify()).differences == ()


async def test_an_answer_is_clamped_to_what_is_left(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("0.001"))
    async with gateway.sdk() as client:
        fault = {"x-sim-fault": "length;tokens=5000"}
        answer = await client.chat.completions.with_raw_response.create(
            model="sim-small", messages=MESSAGES, extra_headers=fault
        )
    told = int(answer.headers["x-farebox-max-tokens"])
    parsed = answer.parse()
    assert 256 <= told < 1_700
    assert parsed.choices[0].finish_reason == "length"
    assert parsed.usage is not None
    assert parsed.usage.completion_tokens == told
    posted, reserved = await counter(gateway)
    assert (posted, reserved) == (bill()[0].cost_nano_usd, 0)
    assert posted <= 1_000_000


async def test_a_metered_stream_is_extended_and_charged_exactly(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("1", {"reserve": "calibrated"}))
    tokens = 0
    async with gateway.sdk() as client:
        stream = await client.chat.completions.create(
            model="metered", messages=MESSAGES, stream=True, extra_headers={"x-sim-fault": "length;tokens=6000"},
            stream_options={"include_usage": True},
        )  # fmt: skip
        async for chunk in stream:
            if chunk.usage is not None:
                tokens = chunk.usage.completion_tokens
    assert tokens == 6000
    (charge,) = await gateway.eventually("charges", 1)
    assert (charge["outcome"], charge["estimated"], charge["cost_nano_usd"]) == ("ok", 0, bill()[0].cost_nano_usd)
    assert charge["reserved_nano_usd"] >= charge["cost_nano_usd"]
    assert await counter(gateway) == (charge["cost_nano_usd"], 0)


async def test_a_metered_stream_whose_money_ends_is_ended_properly(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("0.002", {"reserve": "calibrated"}))
    finish, usage = None, None
    async with gateway.sdk() as client:
        stream = await client.chat.completions.create(
            model="metered",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers={"x-sim-fault": f"{SLOW},length;tokens=9000,single"},
        )
        async for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
    assert finish == "length"
    assert usage is not None
    (charge,) = await gateway.eventually("charges", 1)
    await simulator.bill.wait(1)
    assert (charge["outcome"], charge["estimated"]) == ("shortened", 1)
    assert bill()[0].cost_nano_usd <= charge["cost_nano_usd"] <= 2_000_000
    assert await counter(gateway) == (charge["cost_nano_usd"], 0)


async def test_a_plain_answer_is_assembled_from_a_stream_of_our_own(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    agent = {"reserve": "calibrated", "assemble_whole_answers": True}
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("1", agent))
    async with gateway.sdk() as client:
        answer = await client.chat.completions.create(model="metered", messages=MESSAGES)
        plain = await client.chat.completions.create(model="sim-small", messages=MESSAGES)
    assert answer.choices[0].message.content == plain.choices[0].message.content
    assert answer.usage is not None
    assert plain.usage is not None
    assert answer.usage.completion_tokens == plain.usage.completion_tokens
    assert [record.stream for record in bill()] == [True, False]


async def test_money_under_way_is_waited_for(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    """Two requests, money for one at a time: the second waits for the first, and is served."""
    agent = {"clamp": "off", "max_output_tokens": 1000}
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("0.00105", agent))
    async with gateway.sdk() as client:

        async def ask(tokens: int) -> Any:
            fault = {"x-sim-fault": f"length;tokens={tokens}"}
            return await client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=fault)

        first, second = await asyncio.gather(ask(20), ask(30))
    assert {first.usage.completion_tokens, second.usage.completion_tokens} == {20, 30}
    assert (await counter(gateway))[1] == 0


async def test_a_wait_ends_in_a_429_that_says_what_it_waited_for(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    agent = {"clamp": "off", "max_output_tokens": 1000}
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("0.00105", agent, queue={"wait_s": 0.05}))
    async with gateway.sdk() as client:
        stalled = asyncio.create_task(
            client.chat.completions.create(
                model="sim-small", messages=MESSAGES, stream=True, extra_headers={"x-sim-fault": "stall"}
            )
        )
        while not simulator.bill.open:
            await asyncio.sleep(0)
        with pytest.raises(sdk.RateLimitError) as refused:
            await client.chat.completions.create(model="sim-small", messages=MESSAGES)
        stalled.cancel()
    assert refused.value.body["metadata"]["reason"] == "budget_reserved"  # type: ignore[index]
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 5


async def test_a_waiter_that_leaves_leaves_no_trace(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    agent = {"clamp": "off", "max_output_tokens": 1000}
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("0.00105", agent))
    async with gateway.sdk() as client:
        stalled = asyncio.create_task(
            client.chat.completions.create(
                model="sim-small", messages=MESSAGES, stream=True, extra_headers={"x-sim-fault": "stall"}
            )
        )
        while not simulator.bill.open:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(client.chat.completions.create(model="sim-small", messages=MESSAGES))
        while gateway.app.active < 2:
            await asyncio.sleep(0)
        _, before = await counter(gateway)
        waiting.cancel()
        rows = await gateway.eventually("requests", 1)
        assert (rows[0]["outcome"], rows[0]["status"]) == ("client_gone", 499)
        assert (await counter(gateway))[1] == before
        stalled.cancel()


async def test_a_waiter_is_told_when_the_gateway_stops(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    agent = {"clamp": "off", "max_output_tokens": 1000}
    changes = sections("0.00105", agent, server={"drain_s": 0.1}, queue={"wait_s": 60})
    gateway = await start_gateway(f"{simulator.url}/v1", **changes)
    async with gateway.sdk() as client:
        stall = {"x-sim-fault": "stall"}
        stalled = asyncio.create_task(
            client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=stall)
        )
        while not simulator.bill.open:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(client.chat.completions.create(model="sim-small", messages=MESSAGES))
        while not gateway.app.services.pipeline._upstreams.admission.queue.waiting:
            await asyncio.sleep(0)
        await gateway.stop()
        for asking in (stalled, waiting):
            with pytest.raises(sdk.InternalServerError) as told:
                await asking
            assert told.value.status_code == 503
    rows = gateway.rows_on_disk("requests")
    assert [(row["outcome"], row["status"]) for row in rows] == [("drained", 503)] * 2
    (charge,) = gateway.rows_on_disk("charges")
    assert (charge["outcome"], charge["cost_nano_usd"]) == ("drained", charge["reserved_nano_usd"])


async def test_the_operator_chooses_the_status_of_a_spent_budget(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("0.000001", budget_status=429))
    async with gateway.sdk(max_retries=2) as client:
        with pytest.raises(sdk.RateLimitError) as refused:
            await client.chat.completions.create(model="sim-small", messages=MESSAGES)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.response.headers
    assert len(await gateway.rows("requests")) == 1


async def test_a_shadow_budget_counts_and_refuses_nobody(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    written = sections("0.000001")
    written["budgets"]["all"]["mode"] = "shadow"
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    async with gateway.sdk() as client:
        answer = await client.chat.completions.with_raw_response.create(model="sim-small", messages=MESSAGES)
    assert "x-farebox-max-tokens" not in answer.headers
    assert "x-farebox-budget-remaining-usd" not in answer.headers
    assert await counter(gateway) == (bill()[0].cost_nano_usd, 0)


async def test_labels_decide_which_counter(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    written = sections("1", {"requires": ["user"]})
    written["budgets"] = {
        "each": {"scope": "user:*", "limit_usd": "1", "window": "day"},
        "feature": {"scope": "tag:feature=*", "limit_usd": "1", "window": "day", "when_missing": "shared"},
    }
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    async with gateway.sdk() as client:

        async def ask(**headers: str) -> None:
            await client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=headers)

        with pytest.raises(sdk.BadRequestError, match="x-farebox-user"):
            await ask()
        await ask(**{"x-farebox-user": "ann"})
        await ask(**{"x-farebox-user": "bob", "x-farebox-tags": "feature=search"})
    lines = await gateway.app.services.governance.budgets()
    spent = {(line.budget.id, line.value) for line in lines if line.posted}
    assert spent == {("each", "ann"), ("each", "bob"), ("feature", "(none)"), ("feature", "search")}


def telling_usage() -> dict[str, Any]:
    """A deployment whose events say the usage so far, and an agent whose streams are metered."""
    written = sections("1", {"reserve": "calibrated"})
    written["models"]["metered"]["deployments"][0]["metering"] = {**METERED["metering"], "running_usage": True}
    return written


@pytest.mark.parametrize("asks", [False, True])
async def test_running_usage_is_ours_alone_unless_the_client_asks_for_it(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]], asks: bool
) -> None:
    """Events of several tokens each are counted exactly; SDKs that add up what every event says are not misled."""
    gateway = await start_gateway(f"{simulator.url}/v1", **telling_usage())
    options = {"include_usage": True, **({"continuous_usage_stats": True} if asks else {})}
    async with gateway.sdk() as client:
        stream = await client.chat.completions.create(
            model="metered", messages=MESSAGES, stream=True, extra_body={"stream_options": options}
        )
        chunks = [chunk async for chunk in stream]
        await gateway.eventually("charges", 1)
    (record,) = bill()
    early = [chunk.usage for chunk in chunks if chunk.choices]
    assert any(early) == asks
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == record.completion_tokens
    assert await counter(gateway) == (record.cost_nano_usd, 0)


async def test_with_running_usage_a_stream_that_is_left_costs_what_was_seen_and_the_margin(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **telling_usage())
    stalls = {"x-sim-fault": "length;tokens=500,stall-mid;after=40"}
    async with gateway.sdk() as client:
        stream = await client.chat.completions.create(
            model="metered", messages=MESSAGES, stream=True, extra_headers=stalls
        )
        text, words = "", tokenizer.load()
        async for chunk in stream:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            if len(words.encode(text)) >= 40:  # nothing more is under way
                break
        await stream.close()
        (charge,) = await gateway.eventually("charges", 1)
    await simulator.bill.wait(1)
    (record,) = bill()
    assert charge["output_tokens"] == record.completion_tokens + 4 + 50
    assert charge["input_tokens"] == record.prompt_tokens
