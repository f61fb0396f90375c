"""Against the simulator, which speaks both APIs as strictly as OpenAI: what is read, ended, translated and sent on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response

from gateway.simulator.server import SimulatorServer
from gateway.wire.ending import Stream
from gateway.wire.responses import WIRE, AnswerTranslator, chat_body, input_items, output_items, read, rebuilt
from gateway.wire.sse import event_data
from routing.money import NanoUsd, Usage
from tests.gateway.simulator.helpers import post
from tests.gateway.wire.responses.wording import check_event, response_of, said, split

PATH = "/v1/responses"
CHAT = "/v1/chat/completions"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
HOSTED = [{"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}]
CUT = Stream("chat", 1, True, "req_01", "sim-small", 5)


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "sim-reasoner", "input": "Why is the sky blue?", "reasoning": {"summary": "auto"}, **fields}


@pytest.mark.parametrize("nonce", range(4))
async def test_its_streams_are_read_as_its_whole_answers(sim: SimulatorServer, nonce: int) -> None:
    body = ask(tools=[WEATHER, *HOSTED], metadata={"nonce": str(nonce)}, max_output_tokens=40 + 400 * (nonce % 2))
    whole = await post(sim, body, path=PATH)
    streamed = await post(sim, {**body, "stream": True}, path=PATH)
    observer, assembler = WIRE.observer(1, remember=False), WIRE.assembler()
    for event in split(streamed.body):
        observer.observe(event)
        assembler.feed(event)
    answer = WIRE.read_answer(whole.body)
    assert answer.usage is not None
    assert (observer.complete, assembler.malformed) == (True, False)
    assert (observer.usage, observer.cut, observer.services) == (answer.usage, answer.cut, answer.services or {})
    assert observer.counted_tokens(1) == answer.usage.output_tokens
    assert plain(assembler.body()) == plain(whole.body)


def plain(body: bytes) -> Any:
    """An answer without what differs every time: its ids, and when it was made."""
    answer = response_of(body)
    return [[item["type"], item.get("content"), item.get("arguments")] for item in answer["output"]], answer["usage"]


async def test_wherever_its_stream_is_cut_it_is_ended_properly(sim: SimulatorServer) -> None:
    streamed = await post(sim, ask(tools=[WEATHER, *HOSTED], stream=True, max_output_tokens=200), path=PATH)
    events = split(streamed.body)
    for length in range(len(events)):
        observer, assembler = WIRE.observer(1, remember=True), WIRE.assembler()
        for event in events[:length]:
            observer.observe(event)
            assembler.feed(event)
        for event in WIRE.ending(CUT, observer, Usage(7, 3), NanoUsd(5)):
            check_event(json.loads(event_data(event)))
            assembler.feed(event)
        found = Response.model_validate_json(assembler.body())
        assert (found.status, assembler.malformed) == ("incomplete", False)
        assert observer.record is not None
        assert len(found.output) == len(observer.record.items)


async def test_its_chat_streams_become_responses(sim: SimulatorServer) -> None:
    body = json.dumps(ask(tools=[WEATHER], tool_choice="required", stream=True)).encode()
    chat, native = read(body)
    streamed = await post(sim, json.loads(chat), path=CHAT)
    answer = AnswerTranslator(model="m", request_id="req_01", request=native)
    events = said(answer.events(split(streamed.body)) + answer.end())
    assert events[-1]["type"] == "response.completed"
    whole = Response.model_validate_json(answer.final or b"")
    assert whole.usage is not None
    assert whole.usage.output_tokens_details.reasoning_tokens > 0
    assert "function_call" in [item.type for item in whole.output]


@pytest.mark.parametrize("translated", [False, True])
async def test_a_conversation_goes_on_where_nobody_remembers_it(sim: SimulatorServer, translated: bool) -> None:
    chat, native = read(json.dumps(ask(tools=[WEATHER], tool_choice="required")).encode())
    if translated:
        found = await post(sim, json.loads(chat), path=CHAT)
        first = AnswerTranslator(model="m", request_id="req_01", request=native).whole(found.body)
    else:
        first = (await post(sim, json.loads(native.body), path=PATH)).body
    calls = [item for item in response_of(first)["output"] if item["type"] == "function_call"]
    assert calls
    results = [{"type": "function_call_output", "call_id": each["call_id"], "output": "sunny"} for each in calls]
    second = json.dumps(ask(input=results, tools=[WEATHER], previous_response_id=response_of(first)["id"])).encode()
    history = [*input_items(native), *output_items(first)]
    told = await post(sim, json.loads(rebuilt(read(second)[1], history).body), path=PATH)
    assert told.status == 200, told.body
    asked = await post(sim, json.loads(chat_body(read(second)[1], history)), path=CHAT)
    assert asked.status == 200, asked.body
