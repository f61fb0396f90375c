import openai
import pytest

from gateway.simulator.completions import token_inputs
from gateway.simulator.errors import SimError
from gateway.simulator.server import SimulatorServer


async def test_plain_and_stream_agree(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    plain = await client.completions.create(model="sim-small", prompt="Once upon a time", max_tokens=30, n=2)
    assert plain.object == "text_completion"
    assert [choice.finish_reason for choice in plain.choices] == ["length", "length"]
    assert plain.usage.completion_tokens == 60
    stream = await client.completions.create(
        model="sim-small",
        prompt="Once upon a time",
        max_tokens=30,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
    )
    texts, usage = ["", ""], None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in plain.choices]
    assert usage == plain.usage
    assert [(r.endpoint, r.completion_tokens) for r in sim.bill.records] == [("completions", 60)] * 2


async def test_the_default_limit_is_sixteen(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="sim-small", prompt="Tell me all")
    assert answer.usage.completion_tokens == 16


async def test_several_prompts_and_token_ids(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="sim-small", prompt=[[1, 2, 3], [4]], max_tokens=8)
    assert len(answer.choices) == 2
    assert answer.usage.prompt_tokens == 4


@pytest.mark.parametrize("value", [None, 3, [], [[]], ["a", 1], [True], [[-1]], {}])
def test_bad_inputs(value: object) -> None:
    with pytest.raises(SimError) as caught:
        token_inputs({"prompt": value}, "prompt")
    assert caught.value.status == 400
