"""An outage that is not ours: the SDK gets a clean answer through each fault, and each attempt is booked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai as sdk
import pytest

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest
from tests.integration.upstream import Exchange, Upstream

MESSAGES = [{"role": "user", "content": "Tell me about tides."}]
TIMEOUTS = {"connect_s": 1, "first_byte_s": 0.3, "idle_s": 0.3, "total_s": 20}
PRICE = {"input": "0.15", "output": "0.60"}
BUDGETS = {"all": {"scope": "global", "limit_usd": "100", "window": "total"}}
FAULTS = ("500", "503", "529", "401", "403", "429", "429;code=insufficient_quota", "504")
BEFORE_THE_FIRST_BYTE = [
    *((fault, stream) for fault in (*FAULTS, "reset", "html", "stall", "cut;after=0") for stream in (False, True)),
    ("error-event;after=0", True),
    ("bad-json;after=0", False),
    ("garbage;after=0", False),
]


def group(fault: str, **changes: Any) -> dict[str, Any]:
    """A model whose first deployment has a fault, and whose second is well."""
    deployments = [
        {
            "provider": "sim",
            "model": f"sim-small+fault-{fault}",
            "price": PRICE,
            "timeouts": TIMEOUTS,
            "max_output_tokens": 500,
        },
        {"provider": "sim", "model": "sim-small", "price": PRICE, "max_output_tokens": 500},
    ]
    return {
        "models": {"group": {"deployments": deployments}},
        "retries": {},
        "breaker": {},
        "budgets": BUDGETS,
        **changes,
    }


async def ask(gateway: GatewayUnderTest, *, stream: bool, **options: Any) -> tuple[str, Any]:
    """The answer's text, and its headers."""
    async with gateway.sdk() as client:
        made = await client.chat.completions.with_raw_response.create(
            model="group", messages=MESSAGES, stream=stream, **options
        )  # type: ignore[call-overload]
        answer = made.parse()
        if not stream:
            return answer.choices[0].message.content, made.headers
        chunks = [chunk async for chunk in answer]
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), made.headers


@pytest.mark.parametrize(("fault", "stream"), BEFORE_THE_FIRST_BYTE)
async def test_another_deployment_answers(
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    bill: Callable[[], list[Record]],
    fault: str,
    stream: bool,
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **group(fault))
    text, headers = await ask(gateway, stream=stream)
    assert text
    assert (headers["x-farebox-deployment"], headers["x-farebox-attempts"]) == ("sim/sim-small", "2")
    charges = await gateway.rows("charges")
    assert [(charge["attempt"], charge["purpose"]) for charge in charges] == [(1, "failed"), (2, "fallback")]
    assert charges[1]["outcome"] == "ok"
    (request,) = await gateway.rows("requests")
    assert (request["outcome"], request["status"]) == ("ok", 200)
    assert (
        request["cost_nano_usd"]
        == sum(charge["cost_nano_usd"] for charge in charges)
        >= sum(record.cost_nano_usd for record in bill())
    )


async def test_with_nothing_left_the_last_error_is_the_answer(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    written = group("500", retries={"max": 0})
    written["models"]["group"]["deployments"][1]["model"] = "sim-small+fault-503"
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    with pytest.raises(sdk.InternalServerError) as caught:
        await ask(gateway, stream=False)
    assert caught.value.response.headers["x-farebox-upstream-status"] == "503"
    assert caught.value.response.headers["x-farebox-attempts"] == "2"
    assert [charge["outcome"] for charge in await gateway.rows("charges")] == ["error", "error"]


async def test_a_fallback_that_is_switched_off(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    written = group("500", retries={"max": 0}, fallback={"outage": False})
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    with pytest.raises(sdk.InternalServerError):
        await ask(gateway, stream=False)
    assert len(await gateway.rows("charges")) == 1


async def test_the_clients_mistake_is_made_once(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **group("400"))
    with pytest.raises(sdk.BadRequestError):
        await ask(gateway, stream=False)
    assert len(await gateway.rows("charges")) == 1


async def test_one_deployment_alone_is_tried_again(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    written = group("500", retries={"max": 2, "backoff_s": 0.01})
    del written["models"]["group"]["deployments"][1]
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    with pytest.raises(sdk.InternalServerError):
        await ask(gateway, stream=False)
    charges = await gateway.rows("charges")
    assert [(charge["attempt"], charge["purpose"]) for charge in charges] == [
        (1, "failed"),
        (2, "failed"),
        (3, "failed"),
    ]


async def test_an_open_breaker_is_told_and_calls_nobody(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    written = group("500", retries={"max": 0}, breaker={"consecutive_failures": 2, "open_s": 60})
    del written["models"]["group"]["deployments"][1]
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    for _ in range(2):
        with pytest.raises(sdk.InternalServerError):
            await ask(gateway, stream=False)
    with pytest.raises(sdk.InternalServerError) as caught:
        await ask(gateway, stream=True)
    assert (caught.value.status_code, caught.value.code) == (503, "service_unavailable")
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 30
    assert len(await gateway.rows("charges")) == 2


async def test_a_client_may_wait_less_long(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    written = group("stall", retries={"max": 0}, breaker={"consecutive_failures": 1})
    written["models"]["group"]["deployments"][0]["timeouts"] = {"first_byte_s": 60}
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    for _ in range(2):  # a time-out of the client's own choice opens no breaker, and has no time for another try
        with pytest.raises(sdk.InternalServerError) as caught:
            await ask(gateway, stream=False, extra_headers={"x-farebox-timeout-s": "0.2"})
        assert caught.value.status_code == 504
    assert [charge["deployment"] for charge in await gateway.rows("charges")] == ["sim/sim-small+fault-stall"] * 2


async def test_a_time_out_of_ours_counts_though_the_client_would_wait_longer(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    written = group("stall", retries={"max": 0}, breaker={"consecutive_failures": 1, "open_s": 60})
    written["models"]["group"]["deployments"][0]["timeouts"] = {"total_s": 0.2}
    del written["models"]["group"]["deployments"][1]
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    for status in (504, 503):
        with pytest.raises(sdk.InternalServerError) as caught:
            await ask(gateway, stream=False, extra_headers={"x-farebox-timeout-s": "30"})
        assert caught.value.status_code == status


@pytest.mark.parametrize("headers", [{}, {"x-farebox-timeout-s": "30"}], ids=["ours", "the clients"])
async def test_a_deployment_that_takes_all_its_time_leaves_the_next_ones(
    simulator: SimulatorServer, start_gateway: StartGateway, headers: dict[str, str]
) -> None:
    written = group("stall")
    written["models"]["group"]["deployments"][0]["timeouts"] = {"total_s": 0.2}
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    assert (await ask(gateway, stream=True, extra_headers=headers))[0]
    assert [charge["purpose"] for charge in await gateway.rows("charges")] == ["failed", "fallback"]


@pytest.mark.parametrize(
    ("fault", "stream"), [("bad-json;after=0", False), ("error-event;after=0", True), ("no-done;after=0", True)]
)
async def test_what_was_charged_is_not_tried_again(
    simulator: SimulatorServer, start_gateway: StartGateway, fault: str, stream: bool
) -> None:
    written = group(fault, retries={"max": 2, "backoff_s": 0.01})
    del written["models"]["group"]["deployments"][1]
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    with pytest.raises(sdk.InternalServerError):
        await ask(gateway, stream=stream)
    (charge,) = await gateway.rows("charges")
    assert charge["cost_nano_usd"] > 0


async def test_a_wait_that_is_too_long_is_the_clients(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    written = group("503;retry_after=300")
    del written["models"]["group"]["deployments"][1]
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    with pytest.raises(sdk.InternalServerError) as caught:
        await ask(gateway, stream=False)
    assert caught.value.response.headers["retry-after"] == "30"


async def test_the_soonest_of_all_that_are_rate_limited_is_told(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    written = group("429;retry_after=12", retries={"max": 0})
    written["models"]["group"]["deployments"][1]["model"] = "sim-small+fault-429;retry_after=3600"
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    with pytest.raises(sdk.RateLimitError) as caught:
        await ask(gateway, stream=False)
    assert 10 <= int(caught.value.response.headers["retry-after"]) <= 12


async def test_a_client_that_leaves_does_not_make_first_bytes_look_quick(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    written = group("stall")
    written["models"]["group"]["deployments"][0]["timeouts"] = {"first_byte_s": 60}
    written["models"]["group"]["hedge"] = {"min_calls": 1, "ratio": 1}
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    for wait_s in (0.1, 0.7):  # had the first one's leaving been taken for a first byte, the second would be hedged
        with pytest.raises(sdk.APITimeoutError):
            await ask(gateway, stream=True, timeout=wait_s)
    charges = await gateway.eventually("charges", 2)
    assert [(charge["purpose"], charge["attempt"]) for charge in charges] == [("cancelled", 1)] * 2


async def test_every_attempt_needs_room_in_its_own_deployments_budget(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    written = group("500", retries={"max": 0})
    written["providers"] = {"sim": {"base_url": f"{simulator.url}/v1"}, "dear": {"base_url": f"{simulator.url}/v1"}}
    written["models"]["group"]["deployments"][1]["provider"] = "dear"
    written["budgets"] = {"none": {"scope": "provider:dear", "limit_usd": "0.000001", "window": "total"}}
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    with pytest.raises(sdk.InternalServerError) as caught:  # no room for the fallback: the error before it
        await ask(gateway, stream=False)
    assert caught.value.response.headers["x-farebox-upstream-status"] == "500"
    (charge,) = await gateway.rows("charges")
    assert charge["resolution"] == "released"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_a_late_first_byte_is_hedged_and_the_first_to_answer_wins(
    simulator: SimulatorServer, start_gateway: StartGateway, stream: bool
) -> None:
    written = group("stall", retries={"max": 0})
    written["models"]["group"]["deployments"][0]["timeouts"] = {"first_byte_s": 60}
    written["models"]["group"]["hedge"] = {"min_calls": 1, "min_s": 0.05, "ratio": 1.0}
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    health = gateway.app.services.pipeline._upstreams.health
    stalled = gateway.app.services.snapshot.catalog.models["group"].deployments[0]
    health.first_byte(stalled, 0.01)
    text, headers = await ask(gateway, stream=stream)
    assert text
    assert headers["x-farebox-deployment"] == "sim/sim-small"
    charges = sorted(await gateway.eventually("charges", 2), key=lambda charge: charge["attempt"])
    assert [(charge["purpose"], charge["outcome"]) for charge in charges] == [
        ("cancelled", "cancelled"),
        ("hedge", "ok"),
    ]
    (request,) = await gateway.rows("requests")
    assert (request["outcome"], request["deployment"]) == ("ok", "sim/sim-small")


@pytest.mark.parametrize("switched_on", [True, False])
async def test_an_answer_that_a_filter_took_away(start_gateway: StartGateway, switched_on: bool) -> None:
    usage = '"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}'

    async def script(exchange: Exchange) -> None:
        strict = b'"strict"' in exchange.request.body
        message, reason = ("null", "content_filter") if strict else ('"the tides"', "stop")
        choice = f'{{"index":0,"message":{{"role":"assistant","content":{message}}},"finish_reason":"{reason}"}}'
        await exchange.whole(f'{{"id":"x","object":"chat.completion","choices":[{choice}],{usage}}}'.encode())

    async with Upstream(script) as upstream:
        written = group("none", retries={"max": 0}, fallback={"content_filter": switched_on})
        for deployment, model in zip(written["models"]["group"]["deployments"], ("strict", "lenient"), strict=True):
            deployment["model"] = model
        gateway = await start_gateway(upstream.base_url, **written)
        text, _ = await ask(gateway, stream=False)
        assert text == ("the tides" if switched_on else None)
        charges = await gateway.rows("charges")
        assert [charge["outcome"] for charge in charges] == ["unverified", "ok"][: 2 if switched_on else 1]
        await gateway.stop()
