"""Messages and Responses through the gateway: the same books, limits and routes as for chat, natively and translated.

Each test speaks both tongues, to a provider that speaks them itself and to one that only speaks chat.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, NamedTuple

import httpx
import pytest

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY, GatewayUnderTest
from tests.integration.test_budgets import counter, sections
from tests.integration.test_metered import CALIBRATED

Tongue = Literal["messages", "responses"]
QUESTION = "How do I fold a paper boat?"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LAST = {"messages": "message_stop", "responses": "response.completed"}
SHORTENED = {"messages": "max_tokens", "responses": "incomplete"}


class Speaker(NamedTuple):
    """A client that speaks a tongue."""

    tongue: Tongue
    native: bool
    """Whether the provider speaks it too."""

    def body(self, model: str = "sim-small", **more: Any) -> dict[str, Any]:
        if self.tongue == "messages":
            return {"model": model, "max_tokens": 4_000, "messages": [{"role": "user", "content": QUESTION}], **more}
        return {"model": model, "max_output_tokens": 4_000, "input": QUESTION, **more}

    def tools(self) -> dict[str, Any]:
        if self.tongue == "messages":
            tool = {"name": "weather", "description": "The weather in a city.", "input_schema": WEATHER}
            return {"tools": [tool], "tool_choice": {"type": "any"}}
        tool = {"type": "function", "name": "weather", "description": "The weather in a city.", "parameters": WEATHER}
        return {"tools": [tool], "tool_choice": "required"}

    def repeating(self, times: int) -> dict[str, Any]:
        """A history in which the same tool was called so often."""
        said: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
        for number in range(times):
            name = f"call_{number}"
            if self.tongue == "messages":
                call = {"type": "tool_use", "id": name, "name": "weather", "input": {"city": "Oslo"}}
                result = {"type": "tool_result", "tool_use_id": name, "content": "Rain."}
                said += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
            else:
                call = {"type": "function_call", "call_id": name, "name": "weather", "arguments": '{"city":"Oslo"}'}
                said += [call, {"type": "function_call_output", "call_id": name, "output": "Rain."}]
        field = "messages" if self.tongue == "messages" else "input"
        return {**self.body(), **self.tools(), field: said}

    def said(self, answer: dict[str, Any]) -> list[str]:
        """The kinds of what a whole answer says, and that its text is not empty."""
        parts = answer["content"] if self.tongue == "messages" else answer["output"]
        return [part["type"] for part in parts]

    def tokens(self, answer: dict[str, Any]) -> tuple[int, int]:
        usage = answer["usage"]
        read = usage.get("cache_read_input_tokens") or 0 if self.tongue == "messages" else 0
        return usage["input_tokens"] + read, usage["output_tokens"]


@pytest.fixture(params=[("messages", True), ("messages", False), ("responses", True), ("responses", False)], ids=str)
def speaker(request: pytest.FixtureRequest) -> Speaker:
    return Speaker(*request.param)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {TESTER_KEY}"}, timeout=60) as made:
        yield made


async def start(
    speaker: Speaker, simulator: SimulatorServer, start_gateway: StartGateway, **changes: Any
) -> GatewayUnderTest:
    natives = ["messages", "responses"] if speaker.native else []
    provider = {"base_url": f"{simulator.url}/v1", "natives": natives, "headers": {"x-api-key": "sim-key"}}
    return await start_gateway(f"{simulator.url}/v1", providers={"sim": provider}, **changes)


async def post(
    client: httpx.AsyncClient, gateway: GatewayUnderTest, speaker: Speaker, body: dict[str, Any], **headers: str
) -> httpx.Response:
    return await client.post(f"{gateway.url}/v1/{speaker.tongue}", json=body, headers=headers)


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_charged_as_the_provider_bills_it(
    speaker: Speaker,
    stream: bool,
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    client: httpx.AsyncClient,
    bill: Callable[[], list[Record]],
) -> None:
    gateway = await start(speaker, simulator, start_gateway)
    answer = await post(client, gateway, speaker, speaker.body(stream=stream))
    assert answer.status_code == 200, answer.text
    [record] = bill()
    [charge] = await gateway.rows("charges")
    [request] = await gateway.rows("requests")
    assert record.endpoint == (speaker.tongue if speaker.native else "chat")
    assert (charge["cost_nano_usd"], charge["estimated"]) == (record.cost_nano_usd, 0)
    assert (request["endpoint"], request["outcome"], request["status"]) == (speaker.tongue, "ok", 200)
    assert answer.headers["x-request-id"] == request["request_id"] == record.caller_id
    if stream:
        events = events_of(answer)
        assert events[-1]["type"] == LAST[speaker.tongue]
    else:
        assert speaker.said(answer.json())
        assert speaker.tokens(answer.json()) == (charge["input_tokens"], charge["output_tokens"])


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_called(
    speaker: Speaker, stream: bool, simulator: SimulatorServer, start_gateway: StartGateway, client: httpx.AsyncClient
) -> None:
    gateway = await start(speaker, simulator, start_gateway)
    answer = await post(client, gateway, speaker, speaker.body(stream=stream, **speaker.tools()))
    kind = "tool_use" if speaker.tongue == "messages" else "function_call"
    if not stream:
        assert kind in speaker.said(answer.json())
        return
    opened = [event.get("content_block") or event.get("item") or {} for event in events_of(answer)]
    assert kind in [each.get("type") for each in opened]


async def test_an_unknown_model_and_an_unknown_key_have_the_tongues_shape(
    speaker: Speaker, simulator: SimulatorServer, start_gateway: StartGateway, client: httpx.AsyncClient
) -> None:
    gateway = await start(speaker, simulator, start_gateway)
    unknown = await post(client, gateway, speaker, speaker.body("sim-smal"))
    stranger = await post(client, gateway, speaker, speaker.body(), authorization="Bearer nobody")
    assert (unknown.status_code, stranger.status_code) == (404, 401)
    if speaker.tongue == "messages":
        assert unknown.json()["type"] == stranger.json()["type"] == "error"
        assert (unknown.json()["error"]["type"], stranger.json()["error"]["type"]) == (
            "not_found_error",
            "authentication_error",
        )
        assert "sim-small" in unknown.json()["error"]["message"]
    else:
        assert (unknown.json()["error"]["code"], stranger.json()["error"]["code"]) == (
            "model_not_found",
            "invalid_api_key",
        )


async def test_a_budget_that_is_spent_refuses_before_the_provider_is_asked(
    speaker: Speaker,
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    client: httpx.AsyncClient,
    bill: Callable[[], list[Record]],
) -> None:
    budgets = {"tiny": {"scope": "agent:tester", "limit_usd": "0.000000001", "window": "day"}}
    gateway = await start(speaker, simulator, start_gateway, budgets=budgets)
    refused = await post(client, gateway, speaker, speaker.body())
    assert refused.status_code == 402, refused.text
    assert refused.headers["x-should-retry"] == "false"
    kind = "billing_error" if speaker.tongue == "messages" else "insufficient_quota"
    assert refused.json()["error"]["type"] == kind
    assert not bill()


async def test_an_answer_that_reaches_its_bound_says_so(
    speaker: Speaker, simulator: SimulatorServer, start_gateway: StartGateway, client: httpx.AsyncClient
) -> None:
    gateway = await start(speaker, simulator, start_gateway)
    answer = await post(client, gateway, speaker, {**speaker.body(), **bounded(speaker, 16)})
    whole = answer.json()
    reason = whole["stop_reason"] if speaker.tongue == "messages" else whole["status"]
    assert reason == SHORTENED[speaker.tongue]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_whose_money_ends_is_ended_properly(
    speaker: Speaker,
    stream: bool,
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    client: httpx.AsyncClient,
    bill: Callable[[], list[Record]],
) -> None:
    gateway = await start(speaker, simulator, start_gateway, **sections("0.004", CALIBRATED))
    asked = {**speaker.body("metered", stream=stream), **bounded(speaker, 16_000)}
    answer = await post(client, gateway, speaker, asked, **{"x-sim-fault": "length;tokens=8000"})
    assert answer.status_code == 200, answer.text
    last = events_of(answer) if stream else [answer.json()]
    ending = json.dumps(last[-2:])
    assert SHORTENED[speaker.tongue] in ending
    posted, reserved = await counter(gateway)
    [charge] = await gateway.rows("charges")
    assert charge["outcome"] == "shortened"
    assert (posted, reserved) == (charge["cost_nano_usd"], 0)
    assert sum(record.cost_nano_usd for record in bill()) <= posted <= 4_000_000


def bounded(speaker: Speaker, tokens: int) -> dict[str, Any]:
    return {"max_tokens" if speaker.tongue == "messages" else "max_output_tokens": tokens}


async def test_a_client_that_leaves_cancels_and_is_charged(
    speaker: Speaker, simulator: SimulatorServer, start_gateway: StartGateway, client: httpx.AsyncClient
) -> None:
    gateway = await start(speaker, simulator, start_gateway)
    asked = speaker.body(stream=True)
    async with client.stream(
        "POST", f"{gateway.url}/v1/{speaker.tongue}", json=asked, headers={"x-sim-fault": "stall-mid;after=3"}
    ) as answer:
        async for _ in answer.aiter_lines():
            break
    [charge] = await gateway.eventually("charges", 1)
    [request] = await gateway.eventually("requests", 1)
    assert (charge["outcome"], charge["purpose"]) == ("cancelled", "cancelled")
    assert charge["cost_nano_usd"] > 0
    assert request["outcome"] == "client_gone"


async def test_a_stream_that_is_cut_ends_with_the_tongues_error(
    speaker: Speaker, simulator: SimulatorServer, start_gateway: StartGateway, client: httpx.AsyncClient
) -> None:
    gateway = await start(speaker, simulator, start_gateway)
    answer = await post(client, gateway, speaker, speaker.body(stream=True), **{"x-sim-fault": "cut;after=3"})
    last = events_of(answer)[-1]
    assert last["type"] == ("error" if speaker.tongue == "messages" else "response.failed")
    [charge] = await gateway.rows("charges")
    assert charge["outcome"] == "cut"


async def test_a_run_is_attributed(
    speaker: Speaker, simulator: SimulatorServer, start_gateway: StartGateway, client: httpx.AsyncClient
) -> None:
    gateway = await start(speaker, simulator, start_gateway)
    answer = await post(client, gateway, speaker, speaker.body(), **{"x-farebox-run": "r-1"})
    assert answer.headers["x-farebox-run"] == "r-1"
    [charge] = await gateway.rows("charges")
    assert charge["run_path"] == "tester/r-1"


async def test_a_loop_is_found(
    speaker: Speaker,
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    client: httpx.AsyncClient,
    bill: Callable[[], list[Record]],
) -> None:
    agents = {"tester": {"team": "quality", "loops": {"action": "block"}}, "other": {"team": "others"}}
    gateway = await start(speaker, simulator, start_gateway, agents=agents)
    honest = await post(client, gateway, speaker, speaker.repeating(2))
    assert honest.status_code == 200, honest.text
    looping = await post(client, gateway, speaker, speaker.repeating(4))
    assert looping.status_code == 422, looping.text
    assert looping.headers["x-should-retry"] == "false"
    assert "repeats itself" in looping.json()["error"]["message"]
    assert len(bill()) == 1


async def test_a_fallback_may_speak_less(
    speaker: Speaker,
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    client: httpx.AsyncClient,
    bill: Callable[[], list[Record]],
) -> None:
    """The first deployment is down; the next one speaks the tongue where this one did not, and the other way round."""
    natives = ["messages", "responses"]
    price = {"input": "1", "output": "2"}
    gateway = await start_gateway(
        f"{simulator.url}/v1",
        providers={
            "down": {"base_url": "http://127.0.0.1:9/v1", "natives": [] if speaker.native else natives},
            "sim": {
                "base_url": f"{simulator.url}/v1",
                "natives": natives if speaker.native else [],
                "headers": {"x-api-key": "sim-key"},
            },
        },
        models={
            "pair": {
                "deployments": [{"provider": each, "model": "sim-small", "price": price} for each in ("down", "sim")]
            }
        },
    )
    answer = await post(client, gateway, speaker, speaker.body("pair"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-farebox-deployment"] == "sim/sim-small"
    [record] = bill()
    assert record.endpoint == (speaker.tongue if speaker.native else "chat")


async def test_what_only_a_speaker_understands_goes_to_nobody_else(
    speaker: Speaker, simulator: SimulatorServer, start_gateway: StartGateway, client: httpx.AsyncClient
) -> None:
    """Searches run at the provider: where it only speaks chat, the client is told which field is in the way."""
    budgets = {"roomy": {"scope": "agent:other", "limit_usd": "10", "window": "day"}}
    if not speaker.native:  # it is not told of tariffs, which would not help it
        budgets["roomy"]["scope"] = "agent:tester"
    gateway = await start(speaker, simulator, start_gateway, budgets=budgets)
    search = {"messages": {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}}
    tool = search.get(speaker.tongue, {"type": "web_search"})
    answer = await post(client, gateway, speaker, speaker.body(tools=[tool]))
    if speaker.native:
        assert answer.status_code == 200, answer.text
        return
    assert answer.status_code == 400
    assert "tools" in answer.text
    assert "tariff" not in answer.text


@pytest.mark.parametrize("native", [True, False])
async def test_tokens_are_counted_for_nothing(
    native: bool,
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    client: httpx.AsyncClient,
    bill: Callable[[], list[Record]],
) -> None:
    """By a provider that counts, else by our own estimate; a budget that is spent does not stand against it."""
    speaker = Speaker("messages", native)
    budgets = {"tiny": {"scope": "agent:tester", "limit_usd": "0.000000001", "window": "day"}}
    gateway = await start(speaker, simulator, start_gateway, budgets=budgets)
    asked = {"model": "sim-small", "messages": [{"role": "user", "content": QUESTION}]}
    url = f"{gateway.url}/v1/messages/count_tokens"
    answer = await client.post(url, params={"beta": "true"}, json=asked)
    assert answer.status_code == 200, answer.text
    assert 5 <= answer.json()["input_tokens"] <= 60
    assert not [record for record in bill() if record.cost_nano_usd]
    assert sum(charge["cost_nano_usd"] for charge in await gateway.rows("charges")) == 0
    [request] = await gateway.rows("requests")
    assert (request["endpoint"], request["outcome"], request["cost_nano_usd"]) == ("count_tokens", "ok", 0)
    unknown = await client.post(url, json={**asked, "model": "sim-smal"})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "error")
