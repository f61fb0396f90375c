import json

import jsonschema
import openai
import pytest

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator import tokenizer
from gateway.simulator.server import SimulatorServer, start
from tests.gateway.simulator.helpers import ASK, WITH_USAGE, chat, post

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}


async def test_plain(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    answer = await client.chat.completions.create(model="sim-small", messages=ASK)
    text = answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert text
    assert "\n" in text or text.endswith(".")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(tokenizer.load().encode(text))
    # 3 for the message, its role and text, 3 for the reply
    assert answer.usage.prompt_tokens == 3 + len(tokenizer.load().encode(ASK[0]["content"])) + 3
    assert answer.service_tier == "default"
    [record] = sim.bill.records
    assert record.response_id == answer.id
    assert (record.prompt_tokens, record.completion_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert record.usage_delivered


@pytest.mark.parametrize("model", ["sim-large", "sim-small", "sim-reasoner"])
async def test_stream(client: openai.AsyncOpenAI, sim: SimulatorServer, model: str) -> None:
    plain = await client.chat.completions.create(model=model, messages=ASK, n=2)
    stream = await client.chat.completions.create(
        model=model, messages=ASK, n=2, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    for index in range(2):
        parts = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == index]
        assert "".join(part.delta.content or "" for part in parts) == plain.choices[index].message.content
        assert parts[0].delta.role == "assistant"
        assert [part.finish_reason for part in parts if part.finish_reason] == ["stop"]
    assert plain.choices[0].message.content != plain.choices[1].message.content
    assert chunks[-1].choices == []
    assert [chunk.usage for chunk in chunks if chunk.usage] == [chunks[-1].usage]
    assert plain.usage == chunks[-1].usage
    assert [record.completion_tokens for record in sim.bill.records] == [plain.usage.completion_tokens] * 2


async def test_most_events_carry_one_token_and_none_more_than_four(sim: SimulatorServer) -> None:
    answer = await post(sim, chat("sim-large", stream=True))
    words = tokenizer.load()
    sizes = [len(words.encode(c["choices"][0]["delta"].get("content", ""))) for c in answer.chunks()[1:-1]]
    assert max(sizes) in {2, 3, 4}
    assert sizes.count(1) > len(sizes) * 0.6


async def test_characters_are_never_split(client: openai.AsyncOpenAI) -> None:
    ask = [{"role": "user", "content": "请解释天空为什么是蓝色的 🦆"}]
    stream = await client.chat.completions.create(model="sim-small", messages=ask, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert "天空" in text
    assert "\ufffd" not in text


async def test_without_include_usage_there_is_none(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(stream=True))
    assert not any("usage" in chunk for chunk in answer.chunks())
    assert answer.data()[-1] == b"[DONE]"
    assert not sim.bill.records[0].usage_delivered


async def test_reasoning_is_hidden_and_billed(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    answer = await client.chat.completions.create(model="sim-reasoner", messages=ASK)
    hidden = answer.usage.completion_tokens_details.reasoning_tokens
    assert hidden > 0
    shown = len(tokenizer.load().encode(answer.choices[0].message.content))
    assert answer.usage.completion_tokens == hidden + shown
    cut = await client.chat.completions.create(model="sim-reasoner", messages=ASK, max_completion_tokens=20)
    assert cut.choices[0].finish_reason == "length"
    assert cut.choices[0].message.content == ""
    assert cut.usage.completion_tokens == cut.usage.completion_tokens_details.reasoning_tokens == 20
    assert sim.bill.records[1].reasoning_tokens == 20


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_limit_is_honoured(client: openai.AsyncOpenAI, name: str) -> None:
    answer = await client.chat.completions.create(model="sim-small", messages=ASK, **{name: 7})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 7


async def test_stop_sequences(client: openai.AsyncOpenAI) -> None:
    whole = (await client.chat.completions.create(model="sim-small", messages=ASK)).choices[0].message.content
    # The stop sequence is part of what seeds the answer: look for a letter that every sentence has.
    cut = await client.chat.completions.create(model="sim-small", messages=ASK, stop=["e", "zzz"])
    assert "e" in whole
    assert "e" not in cut.choices[0].message.content
    assert cut.choices[0].finish_reason == "stop"


async def test_the_same_seed_and_request_give_the_same_answer() -> None:
    async def texts(seed: int, nonce: str) -> list[str]:
        server = await start(SimulatorSettings(port=0, speed=0, seed=seed))
        try:
            answers = [await post(server, chat(model), x_sim_nonce=nonce) for model in ("sim-small", "sim-reasoner")]
        finally:
            await server.stop()
        return [json.dumps([answer.json()["choices"], answer.json()["usage"]]) for answer in answers]

    first = await texts(1, "")
    assert first == await texts(1, "")
    assert first != await texts(2, "")
    assert first != await texts(1, "again")


async def test_required_tools_are_called(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim-small", messages=ASK, tools=[WEATHER, TIME], tool_choice="required"
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    for call in choice.message.tool_calls:
        tool = {"get_weather": WEATHER, "get_time": TIME}[call.function.name]
        jsonschema.validate(json.loads(call.function.arguments), tool["function"]["parameters"])


async def test_a_named_tool_is_called_in_a_stream(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    fields = {"tools": [WEATHER, TIME], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
    plain = await client.chat.completions.create(model="sim-small", messages=ASK, **fields)
    stream = await client.chat.completions.create(
        model="sim-small", messages=ASK, stream=True, stream_options={"include_usage": True}, **fields
    )
    name, arguments, finish, usage = "", "", None, None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert (name, finish) == ("get_weather", "tool_calls")
    assert arguments == plain.choices[0].message.tool_calls[0].function.arguments
    jsonschema.validate(json.loads(arguments), WEATHER["function"]["parameters"])
    assert usage == plain.usage
    assert sim.bill.records[1].completion_tokens == usage.completion_tokens


async def test_parallel_calls_come_unless_forbidden(sim: SimulatorServer) -> None:
    async def most_calls(**fields: object) -> int:
        counts = []
        for nonce in range(30):
            answer = await post(
                sim, chat(tools=[WEATHER, TIME], tool_choice="required", **fields), x_sim_nonce=str(nonce)
            )
            counts.append(len(answer.json()["choices"][0]["message"]["tool_calls"]))
        return max(counts)

    assert await most_calls() == 2
    assert await most_calls(parallel_tool_calls=False) == 1


@pytest.mark.parametrize("nonce", range(8))
async def test_one_tool_is_called_once(sim: SimulatorServer, nonce: int) -> None:
    async def called(messages: list[dict[str, object]], fault: str = "one-tool", **fields: object) -> list[str]:
        body = chat(messages=messages, tools=[WEATHER, TIME], **fields)
        answer = await post(sim, body, x_sim_fault=fault, x_sim_nonce=str(nonce))
        message = answer.json()["choices"][0]["message"]
        assert bool(message["content"]) != bool(message.get("tool_calls"))
        return [call["function"]["name"] for call in message.get("tool_calls", ())]

    first, last = WEATHER["function"]["name"], TIME["function"]["name"]
    assert await called(ASK) == [first]
    assert await called(ASK, "one-tool;name=" + last[1:]) == [last]
    call = {"id": "call_1", "type": "function", "function": {"name": first, "arguments": "{}"}}
    answered = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "user", "content": "Go on."},
    ]
    assert await called(answered) == []
    assert await called(answered, tool_choice="required") == [last]
    assert await called(ASK, tool_choice="none") == []


async def test_tools_are_a_choice_under_auto(sim: SimulatorServer) -> None:
    reasons = set()
    for nonce in range(20):
        answer = await post(sim, chat(tools=[WEATHER]), x_sim_nonce=str(nonce))
        reasons.add(answer.json()["choices"][0]["finish_reason"])
    assert reasons == {"stop", "tool_calls"}
    answer = await post(sim, chat(tools=[WEATHER], tool_choice="none"))
    assert answer.json()["choices"][0]["finish_reason"] == "stop"


async def test_a_limit_cuts_tool_calls(client: openai.AsyncOpenAI) -> None:
    for limit in range(1, 12):
        answer = await client.chat.completions.create(
            model="sim-small", messages=ASK, tools=[WEATHER], tool_choice="required", max_tokens=limit
        )
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens <= limit


async def test_json_schema(client: openai.AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["title", "score"],
        "additionalProperties": False,
    }
    asked = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema, "strict": True}}
    answer = await client.chat.completions.create(model="sim-small", messages=ASK, response_format=asked)
    jsonschema.validate(json.loads(answer.choices[0].message.content), schema)


async def test_json_object(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim-small", messages=ASK, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


async def test_all_roles_and_parts(client: openai.AsyncOpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "name": "ada", "content": [{"type": "text", "text": "What is this?"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    with_image = await client.chat.completions.create(model="sim-small", messages=messages, service_tier="flex")
    image["image_url"]["detail"] = "low"
    with_small = await client.chat.completions.create(model="sim-small", messages=messages)
    assert with_image.usage.prompt_tokens - with_small.usage.prompt_tokens == 765 - 85
    assert with_image.service_tier == "flex"


async def test_special_tokens_are_only_text(client: openai.AsyncOpenAI) -> None:
    ask = [{"role": "user", "content": "<|endoftext|><|im_start|>"}]
    answer = await client.chat.completions.create(model="sim-small", messages=ask)
    assert answer.usage.prompt_tokens > 10


async def test_a_repeated_long_prefix_is_cached(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    long = {"role": "system", "content": "All the rules of the house. " * 300}
    first = await client.chat.completions.create(model="sim-large", messages=[long, *ASK])
    second = await client.chat.completions.create(
        model="sim-large", messages=[long, {"role": "user", "content": "And now?"}]
    )
    other_key = await client.with_options(api_key="y").chat.completions.create(model="sim-large", messages=[long, *ASK])
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens_details.cached_tokens == 2048
    assert other_key.usage.prompt_tokens_details.cached_tokens == 0
    assert [record.cached_tokens for record in sim.bill.records] == [0, 2048, 0]
    assert sim.bill.records[0].key != sim.bill.records[2].key


async def test_stream_and_usage_options_do_not_change_the_answer(sim: SimulatorServer) -> None:
    plain = await post(sim, chat())
    streamed = await post(sim, chat(**WITH_USAGE))
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in streamed.chunks() if c["choices"])
    assert text == plain.json()["choices"][0]["message"]["content"]
    assert streamed.usages() == [plain.json()["usage"]]


async def test_every_event_says_the_usage_so_far_when_asked_as_vllm_does(
    client: openai.AsyncOpenAI, sim: SimulatorServer
) -> None:
    stream = await client.chat.completions.create(
        model="sim-small",
        messages=ASK,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    )
    said: dict[int, list[int]] = {0: [], 1: []}
    last = None
    async for chunk in stream:
        last = chunk
        for choice in chunk.choices:
            if choice.delta.content:
                assert chunk.usage is not None
                said[choice.index].append(chunk.usage.completion_tokens)
    assert all(tokens == sorted(tokens) and tokens[0] > 0 for tokens in said.values())
    assert last is not None
    assert last.usage is not None
    assert said[0][-1] + said[1][-1] == last.usage.completion_tokens == sim.bill.records[0].completion_tokens
