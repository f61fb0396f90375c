"""Responses in the background, and what is kept of all, with the real SDK: polled, cancelled, followed, and after a
restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import Response

from gateway.app import App
from gateway.config.loader import load
from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.callers import governed
from tests.integration.conftest import StartGateway
from tests.integration.gateway import OTHER_KEY, TESTER_KEY, GatewayUnderTest
from tests.integration.processes import Gateway, Provider
from tests.integration.test_tongues import Speaker, start

STALLS = {"x-sim-fault": "stall-mid;after=3"}
ASKED: dict[str, Any] = {"model": "sim-small", "input": "How do I fold a paper boat?", "background": True}
AUTHORIZED = {"authorization": f"Bearer {TESTER_KEY}"}


@pytest.fixture
async def gateway(
    request: pytest.FixtureRequest, simulator: SimulatorServer, start_gateway: StartGateway
) -> GatewayUnderTest:
    """In front of a provider that speaks chat alone, unless the test says otherwise."""
    return await start(Speaker("responses", getattr(request, "param", False)), simulator, start_gateway)


both = pytest.mark.parametrize("gateway", [True, False], ids=["native", "translated"], indirect=True)


@pytest.fixture
async def openai(gateway: GatewayUnderTest) -> AsyncIterator[AsyncOpenAI]:
    async with gateway.sdk() as client:
        yield client


async def ended(openai: AsyncOpenAI, name: str) -> Response:
    while (found := await openai.responses.retrieve(name)).status in {"queued", "in_progress"}:
        pass
    return found


@both
async def test_it_is_cancelled_and_charged_for_what_was_made(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    stream = await openai.responses.create(**ASKED, stream=True, extra_headers=STALLS)
    name, heard = "", []
    async for event in stream:
        heard.append(event.type)
        if event.type == "response.created":
            name = event.response.id
        if event.type == "response.output_text.delta":
            break
    cancelled = await openai.responses.cancel(name)
    assert (cancelled.id, cancelled.status, cancelled.background) == (name, "cancelled", True)
    [charge] = await gateway.eventually("charges", 1)
    [request] = await gateway.eventually("requests", 1)
    assert (charge["outcome"], charge["purpose"], request["outcome"]) == ("cancelled", "cancelled", "client_gone")
    assert charge["cost_nano_usd"] > 0
    assert (await openai.responses.retrieve(name)).status == "cancelled"
    rest = [event.type async for event in stream]
    assert rest[-1] == "response.failed"  # whoever follows is told


@both
async def test_a_lost_connection_loses_nothing(openai: AsyncOpenAI, bill: Callable[[], list[Record]]) -> None:
    stream = await openai.responses.create(**ASKED, stream=True, max_output_tokens=60)
    name, text, at = "", "", -1
    async for event in stream:
        at = event.sequence_number
        if event.type == "response.created":
            name = event.response.id
        if event.type == "response.output_text.delta":
            text += event.delta
            break
    await stream.close()
    async for event in await openai.responses.retrieve(name, stream=True, starting_after=at):
        assert event.sequence_number == at + 1
        at = event.sequence_number
        if event.type == "response.output_text.delta":
            text += event.delta
    assert (event.type, text) == ("response.incomplete", event.response.output_text)
    assert (await openai.responses.retrieve(name)).output_text == text
    assert len(bill()) == 1


@both
async def test_what_was_made_in_the_background_is_followed_up_on(openai: AsyncOpenAI) -> None:
    first = await openai.responses.create(**ASKED)
    assert first.status == "queued"
    first_done = await ended(openai, first.id)
    assert first_done.status == "completed"
    second = await openai.responses.create(**ASKED, previous_response_id=first.id)
    done = await ended(openai, second.id)
    assert done.previous_response_id == first.id
    assert done.usage is not None
    assert first_done.usage is not None
    assert done.usage.input_tokens > first_done.usage.total_tokens  # with what was said and answered first


@both
async def test_its_conversation_goes_on(openai: AsyncOpenAI) -> None:
    talk = await openai.conversations.create()
    asked = await openai.responses.create(**ASKED, conversation=talk.id)
    done = await ended(openai, asked.id)
    items = (await openai.conversations.items.list(talk.id, order="asc")).data
    assert [item.type for item in items] == ["message", "message"]
    assert done.output_text in json.dumps([item.model_dump() for item in items], ensure_ascii=False)


async def test_a_failure_is_told(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    raw = await openai.responses.with_raw_response.create(**ASKED, extra_headers={"x-sim-fault": "500"})
    asked = raw.parse()
    failed = await ended(openai, asked.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "server_error"
    assert failed.error.message
    [request] = await gateway.eventually("requests", 1)
    assert request["outcome"] == "upstream_error"
    [row] = await gateway.rows("responses")
    assert request["request_id"] == row["request_id"] == raw.headers["x-request-id"]


_REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "nobody"}, 404, "model"),
    ({"previous_response_id": "resp_nobody"}, 404, "previous_response_id"),
    ({"conversation": "conv_nobody"}, 404, "conversation"),
    ({"store": False}, 400, "store"),
    ({"max_output_tokens": "many"}, 400, "max_output_tokens"),
]


async def test_what_is_refused_is_refused_at_once(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    for changes, status, param in _REFUSED:
        with pytest.raises(APIStatusError) as refused:
            await openai.responses.create(**{**ASKED, **changes})
        assert (refused.value.status_code, refused.value.param) == (status, param)
    assert await gateway.rows("responses") == []


async def test_its_field_may_be_written_with_escapes(gateway: GatewayUnderTest) -> None:
    """Else the provider would be asked to make it in its own background, and nobody would see what that costs."""
    body = json.dumps({**ASKED, "max_output_tokens": 60}).replace("background", "b\\u0061ckground")
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {TESTER_KEY}"}) as client:
        answer = await client.post(f"{gateway.url}/v1/responses", content=body)
    assert answer.json()["status"] == "queued"
    assert "fbx" not in answer.json()["id"]
    [charge] = await gateway.eventually("charges", 1)
    assert charge["outcome"] == "ok"


async def test_so_is_one_without_money_or_key(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    budget = {"scope": "agent:tester", "limit_usd": "0.000000001", "window": "total"}
    gateway = await start_gateway(f"{simulator.url}/v1", budgets={"tiny": budget})
    for key, status in ((TESTER_KEY, 402), ("fb-nobody", 401)):
        async with gateway.sdk(key) as client:
            with pytest.raises(APIStatusError) as refused:
                await client.responses.create(**ASKED, max_output_tokens=60)
        assert refused.value.status_code == status
    [row] = await gateway.rows("requests")
    assert row["error_code"] == "budget_exceeded"


async def test_a_stop_ends_them_and_all_is_there_after_a_restart(
    openai: AsyncOpenAI, gateway: GatewayUnderTest
) -> None:
    kept = await openai.responses.create(model="sim-small", input="Stay.", max_output_tokens=20)
    talk = await openai.conversations.create(items=[{"role": "user", "content": "Stay too."}])
    asked = await openai.responses.create(**ASKED, stream=True, extra_headers=STALLS)
    first = await anext(aiter(asked))
    assert first.type == "response.created"
    await asked.close()
    hurry = asyncio.Event()
    hurry.set()
    await gateway.app.stop(hurry)
    gateway._stopped = True
    again = await App.start(load(gateway.file), host="127.0.0.1", port=0)
    try:
        async with AsyncOpenAI(base_url=f"{again.url}/v1", api_key=TESTER_KEY, max_retries=0) as client:
            failed = await client.responses.retrieve(first.response.id)
            assert failed.status == "failed"
            assert failed.error is not None
            assert "stopped" in failed.error.message
            assert (await client.responses.retrieve(kept.id)).output_text == kept.output_text
            assert len((await client.conversations.items.list(talk.id)).data) == 1
            await client.responses.create(
                model="sim-small", input="On.", previous_response_id=kept.id, max_output_tokens=20
            )
    finally:
        await again.stop()


async def test_one_whose_gateway_is_killed_has_failed_and_is_charged(tmp_path: Path) -> None:
    provider = Provider(tmp_path)
    await provider.start()
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "1"))
    await gateway.start()
    try:
        async with httpx.AsyncClient(headers={**AUTHORIZED, **STALLS}, timeout=60) as client:
            asked = await client.post(f"{gateway.url}/v1/responses", json={**ASKED, "model": "strict"})
            name = asked.json()["id"]
            assert asked.json()["status"] == "queued"
            await gateway.kill()
            await gateway.start()
            found = (await client.get(f"{gateway.url}/v1/responses/{name}")).json()
        assert found["status"] == "failed"
        assert "ended before it was done" in found["error"]["message"]
        lines = await gateway.settled()
        assert all(line.posted > 0 for line in lines.values())  # its reservation was an orphan
        await gateway.verify()
    finally:
        await gateway.kill()
        await provider.stop()


# --- the other paths ---


async def test_input_items_are_listed_in_parts(openai: AsyncOpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": f"Number {number}."} for number in range(5)]
    made = await openai.responses.create(model="sim-small", input=items, max_output_tokens=20)
    found = [item async for item in openai.responses.input_items.list(made.id, limit=2, order="asc")]
    assert [item.model_dump()["content"][0]["text"] for item in found] == [f"Number {number}." for number in range(5)]
    latest = await openai.responses.input_items.list(made.id, limit=1)
    assert (latest.data[0].id, latest.has_more) == (found[-1].id, True)


async def test_conversations_as_the_sdk_knows_them(openai: AsyncOpenAI) -> None:
    talk = await openai.conversations.create(metadata={"topic": "tides"})
    assert (talk.object, talk.metadata) == ("conversation", {"topic": "tides"})
    added = await openai.conversations.items.create(talk.id, items=[{"role": "user", "content": "hi"}])
    assert added.data[0].type == "message"
    assert added.first_id == added.data[0].id
    one = await openai.conversations.items.retrieve(added.first_id, conversation_id=talk.id)
    assert one == added.data[0]
    assert (await openai.conversations.update(talk.id, metadata={})).metadata == {}
    assert (await openai.conversations.items.delete(added.first_id, conversation_id=talk.id)).id == talk.id
    assert (await openai.conversations.items.list(talk.id)).data == []
    assert (await openai.conversations.delete(talk.id)).deleted
    with pytest.raises(NotFoundError):
        await openai.conversations.retrieve(talk.id)


async def test_tokens_are_estimated_with_what_came_before(
    openai: AsyncOpenAI, bill: Callable[[], list[Record]]
) -> None:
    made = await openai.responses.create(model="sim-small", input="Hello.", max_output_tokens=20)
    calls = len(bill())
    alone = await openai.responses.input_tokens.count(model="sim-small", input="Hello again.")
    after = await openai.responses.input_tokens.count(input="Hello again.", previous_response_id=made.id)
    assert made.usage is not None
    assert after.input_tokens >= alone.input_tokens - 10 + made.usage.total_tokens
    assert len(bill()) == calls


async def test_nobody_elses(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    made = await openai.responses.create(**ASKED)
    talk = await openai.conversations.create(items=[{"role": "user", "content": "hi"}])
    await ended(openai, made.id)
    paths = [
        ("GET", f"responses/{made.id}"),
        ("GET", f"responses/{made.id}?stream=true"),
        ("GET", f"responses/{made.id}/input_items"),
        ("POST", f"responses/{made.id}/cancel"),
        ("DELETE", f"responses/{made.id}"),
        ("GET", f"conversations/{talk.id}"),
        ("DELETE", f"conversations/{talk.id}"),
        ("GET", f"conversations/{talk.id}/items"),
    ]
    async with httpx.AsyncClient(timeout=60) as client:
        for method, path in paths:
            found = await client.request(
                method, f"{gateway.url}/v1/{path}", headers={"authorization": f"Bearer {OTHER_KEY}"}
            )
            assert (found.status_code, found.json()["error"]["code"]) == (404, "not_found"), path
            assert (await client.request(method, f"{gateway.url}/v1/{path}")).status_code == 401, path
    assert (await openai.responses.retrieve(made.id)).status == "completed"


_WRONG = [
    ("PUT", "responses/a", 405),
    ("GET", "responses/a/cancel", 405),
    ("POST", "responses/a/input_items", 405),
    ("GET", "responses/input_tokens", 405),
    ("GET", "responses/a/b", 404),
    ("POST", "responses/compact", 404),
    ("GET", "responses/a?stream=true&starting_after=x", 400),
    ("GET", "responses/a/input_items?limit=0", 400),
    ("GET", "responses/a/input_items?order=up", 400),
    ("POST", "responses/input_tokens", 400),
    ("GET", "conversations", 405),
    ("PUT", "conversations/a", 405),
    ("PUT", "conversations/a/items", 405),
    ("POST", "conversations/a/items/b", 405),
    ("GET", "conversations/a/items/b/c", 404),
    ("POST", "conversations/a", 400),
]


async def test_what_is_asked_wrongly(gateway: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(headers=AUTHORIZED, timeout=60) as client:
        for method, path, status in _WRONG:
            found = await client.request(method, f"{gateway.url}/v1/{path}")
            assert found.status_code == status, (method, path, found.text)


async def test_a_response_that_is_not_of_the_background_is_not_cancelled(openai: AsyncOpenAI) -> None:
    made = await openai.responses.create(model="sim-small", input="Hi.", max_output_tokens=20)
    with pytest.raises(BadRequestError):
        await openai.responses.cancel(made.id)
    await openai.responses.delete(made.id)
    with pytest.raises(NotFoundError):
        await openai.responses.retrieve(made.id)
