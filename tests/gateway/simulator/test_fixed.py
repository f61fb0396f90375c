import openai

from gateway.simulator import fixed
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import ASK, WITH_USAGE, chat, connected, post, read_tokens


async def test_plain_and_stream(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    plain = await client.chat.completions.create(model="sim-fixed", messages=ASK)
    assert plain.usage.completion_tokens == 100
    answer = await post(sim, chat("sim-fixed", max_tokens=20, **WITH_USAGE))
    assert sum(bool(c["choices"] and c["choices"][0]["delta"].get("content")) for c in answer.chunks()) == 20
    assert answer.usages()[0]["completion_tokens"] == 20
    assert answer.data()[-1] == b"[DONE]"
    total = sim.bill.as_dict()["totals"]["sim-fixed"]
    assert (total["generations"], total["completion_tokens"], total["prompt_tokens"]) == (
        2,
        120,
        2 * fixed.PROMPT_TOKENS,
    )
    assert total["cost_nano_usd"] == 2 * 250 * 150 + 120 * 600


def test_the_plain_body_has_about_1400_bytes() -> None:
    assert 1_300 < len(fixed.plain_body(fixed.TOKENS)) < 1_500


async def test_a_paced_stream_notices_that_its_client_left(sim: SimulatorServer) -> None:
    body = chat("sim-fixed+fault-slow;token_ms=1", max_tokens=5_000, stream=True)
    async with connected(sim, body) as (reader, _):
        await read_tokens(reader, 3)
    await sim.bill.wait(1)
    assert 3 <= sim.bill.as_dict()["totals"]["sim-fixed"]["completion_tokens"] < 5_000


async def test_statuses(sim: SimulatorServer) -> None:
    assert (await post(sim, chat("sim-fixed+fault-503"))).status == 503
