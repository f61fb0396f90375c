import math

import openai
import pytest

from gateway.simulator import tokenizer
from gateway.simulator.server import SimulatorServer


async def test_float_and_base64_agree(client: openai.AsyncOpenAI) -> None:
    decoded = await client.embeddings.create(model="sim-embed", input="the sky")  # the SDK asks for base64
    plain = await client.embeddings.create(model="sim-embed", input="the sky", encoding_format="float")
    vector = plain.data[0].embedding
    assert len(vector) == 1536
    assert math.isclose(math.hypot(*vector), 1.0)
    assert decoded.data[0].embedding == pytest.approx(vector, rel=1e-6)
    assert plain.usage.prompt_tokens == plain.usage.total_tokens == 2


async def test_batches(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    ids = tokenizer.load().encode("the sky")
    texts = await client.embeddings.create(model="sim-embed", input=["the sky", "blue"], dimensions=8)
    tokens = await client.embeddings.create(model="sim-embed", input=[ids], dimensions=8)
    assert [item.index for item in texts.data] == [0, 1]
    assert texts.data[0].embedding == tokens.data[0].embedding != texts.data[1].embedding
    assert [record.prompt_tokens for record in sim.bill.records] == [3, 2]
    assert {record.endpoint for record in sim.bill.records} == {"embeddings"}


@pytest.mark.parametrize(
    "fields",
    [
        {"input": ""},
        {"input": []},
        {"input": None},
        {"input": "a", "dimensions": 1537},
        {"input": "a", "encoding_format": "x"},
        {"input": "word " * 8193},
        {"input": ["a"] * 2049},
        {"model": "sim-small", "input": "a"},
    ],
)
async def test_bad_requests(client: openai.AsyncOpenAI, sim: SimulatorServer, fields: dict) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.embeddings.create(**{"model": "sim-embed", "encoding_format": "float", **fields})
    assert sim.bill.open == 0
