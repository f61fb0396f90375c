"""Responses that are kept: what builds on them, who may ask for them, and how many there are."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from gateway.simulator.errors import SimError
from gateway.simulator.responses.shelf import Shelf, Stored
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import post

PATH = "/v1/responses"


async def test_a_chain_is_billed_for_all_of_it(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    first = await client.responses.create(model="sim-small", input="Why is the sky blue?", instructions="Be brief.")
    second = await client.responses.create(model="sim-small", input="And?", previous_response_id=first.id)
    third = await client.responses.create(model="sim-small", input="And?", previous_response_id=second.id)
    assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)
    written_out: list[Any] = [
        {"role": "user", "content": "Why is the sky blue?"},
        *[item.to_dict() for item in first.output],
        {"role": "user", "content": "And?"},
        *[item.to_dict() for item in second.output],
        {"role": "user", "content": "And?"},
    ]
    whole = await client.responses.create(model="sim-small", input=written_out)
    assert whole.usage is not None
    assert third.usage is not None
    assert whole.usage.input_tokens == third.usage.input_tokens == sim.bill.records[2].prompt_tokens
    assert whole.output_text == third.output_text  # and instructions are not carried over


async def test_calls_are_answered_in_the_next_of_a_chain(client: openai.AsyncOpenAI) -> None:
    tool: Any = {"type": "function", "name": "get_weather", "parameters": {}}
    first = await client.responses.create(model="sim-reasoner", input="Why?", tools=[tool], tool_choice="required")
    results: Any = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "sunny"}
        for item in first.output
        if item.type == "function_call"
    ]
    assert results
    second = await client.responses.create(model="sim-reasoner", input=results, previous_response_id=first.id)
    assert second.output_text
    with pytest.raises(openai.BadRequestError, match="No tool output found for function call"):
        await client.responses.create(model="sim-reasoner", input="And?", previous_response_id=first.id)


async def test_reasoning_that_is_kept_may_come_back_by_its_id(client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(model="sim-reasoner", input="Why?")
    items: Any = [{"role": "user", "content": "Why?"}, *[item.to_dict() for item in first.output]]
    again = await client.responses.create(model="sim-reasoner", input=[*items, {"role": "user", "content": "And?"}])
    assert again.output_text
    by_reference: Any = [items[0], *[{"type": "item_reference", "id": item.id} for item in first.output], items[0]]
    assert (await client.responses.create(model="sim-reasoner", input=by_reference)).output_text


async def test_asked_for_listed_and_deleted(client: openai.AsyncOpenAI) -> None:
    items: Any = [{"role": "user", "content": text} for text in ("a", "b")]
    made = await client.responses.create(model="sim-small", input=items)
    assert await client.responses.retrieve(made.id) == made
    latest = await client.responses.input_items.list(made.id)
    oldest = await client.responses.input_items.list(made.id, order="asc")
    assert [item.content for item in oldest.data] == ["a", "b"]
    assert latest.data == oldest.data[::-1]
    assert all(item.id.startswith("msg_") for item in latest.data)
    with pytest.raises(openai.BadRequestError, match="Cannot cancel"):
        await client.responses.cancel(made.id)
    await client.responses.delete(made.id)
    for gone in (client.responses.retrieve(made.id), client.responses.input_items.list(made.id)):
        with pytest.raises(openai.NotFoundError, match=f"Response with id '{made.id}' not found."):
            await gone
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="sim-small", input="And?", previous_response_id=made.id)
    assert caught.value.code == "previous_response_not_found"


@pytest.mark.parametrize("stream", [False, True])
async def test_only_what_is_to_be_stored_is(sim: SimulatorServer, client: openai.AsyncOpenAI, stream: bool) -> None:
    body = {"model": "sim-small", "input": "Why?", "stream": stream}
    for store in (True, False):
        answer = await post(sim, {**body, "store": store}, path=PATH, authorization="Bearer x")
        found = answer.named()[-1][1]["response"] if stream else answer.json()
        assert found["store"] is store
        if store:
            assert (await client.responses.retrieve(found["id"])).output_text
        else:
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(found["id"])


async def test_nobody_elses(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.create(model="sim-small", input="Why?")
    other = client.with_options(api_key="y")
    with pytest.raises(openai.NotFoundError):
        await other.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError):
        await other.responses.create(model="sim-small", input="And?", previous_response_id=made.id)


async def test_methods_and_paths(sim: SimulatorServer) -> None:
    for path, status in (("resp_1", 405), ("resp_1/cancel", 404), ("resp_1/input_items", 405), ("resp_1/x", 404)):
        assert (await post(sim, {}, path=f"{PATH}/{path}")).status == status


def test_the_oldest_goes_first() -> None:
    shelf = Shelf(capacity=2)
    for number in range(3):
        response = {"id": f"resp_{number}", "output": [{"id": f"msg_{number}"}]}
        shelf.put(Stored("a", response, [{"id": f"msg_in_{number}"}], []))
    with pytest.raises(SimError):
        shelf.get("a", "resp_0")
    assert shelf.item("msg_0") is shelf.item("msg_in_0") is None
    assert shelf.get("a", "resp_1").response["id"] == "resp_1"
    assert shelf.item("msg_in_2") == {"id": "msg_in_2"}
