import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator.bill import Bill, Counts, Record, cost_nano_usd, fee_nano_usd, rates_for
from gateway.simulator.models import MODELS, fee_table, price_table
from gateway.simulator.server import start
from tests.gateway.simulator.helpers import WITH_USAGE, chat, post


def test_examples_by_hand() -> None:
    # 1000 in at $0.15/M = $0.00015, 100 out at $0.60/M = $0.00006
    assert cost_nano_usd(MODELS["sim-small"], Counts(1000, 0, 100, 0)) == 210_000
    # 1024 of 2000 cached at $0.50/M, 976 at $5/M, 10 out at $15/M
    assert cost_nano_usd(MODELS["sim-large"], Counts(2000, 1024, 10, 0)) == 512_000 + 4_880_000 + 150_000
    # above 128,000 all of it costs double
    assert cost_nano_usd(MODELS["sim-large"], Counts(128_000, 0, 1, 0)) == 640_000_000 + 15_000
    assert cost_nano_usd(MODELS["sim-large"], Counts(128_001, 0, 1, 0)) == 1_280_010_000 + 30_000
    # 12.5 nano-USD a token
    assert [cost_nano_usd(MODELS["sim-embed"], Counts(tokens, 0, 0, 0)) for tokens in (1, 2, 3)] == [13, 25, 38]
    assert cost_nano_usd(MODELS["sim-small"], Counts(1, 1, 0, 0)) == 75
    # 1000 in all: 300 written for five minutes, 100 for an hour, 200 read, 400 plain at $3/M
    assert (
        cost_nano_usd(MODELS["sim-claude"], Counts(1000, 200, 0, 0, 300, 100))
        == 1_125_000 + 600_000 + 60_000 + 1_200_000
    )
    # where writing to a cache has no price of its own, it costs as input
    assert cost_nano_usd(MODELS["sim-small"], Counts(10, 0, 0, 0, 4, 6)) == 1_500


def test_fees_by_hand() -> None:
    assert fee_nano_usd(MODELS["sim-small"], {}) == 0
    assert fee_nano_usd(MODELS["sim-small"], {"web_search": 2, "file_search": 3, "code_interpreter": 1}) == 57_500_000
    with pytest.raises(KeyError):
        fee_nano_usd(MODELS["sim-embed"], {"web_search": 1})


@settings(deadline=None)
@given(st.sampled_from(list(MODELS.values())), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_cost_is_exact_and_rounded_up_once(model, prompt: int, cached: int, completion: int) -> None:
    cached = min(cached, prompt)
    rates = rates_for(model, prompt)
    nano = 1000 * (
        Fraction(rates.input) * (prompt - cached)
        + Fraction(rates.cached_input) * cached
        + Fraction(rates.output) * completion
    )
    assert 0 <= cost_nano_usd(model, Counts(prompt, cached, completion, 0)) - nano < 1


def test_the_price_table_has_every_model() -> None:
    table = price_table()
    assert set(table) == set(MODELS)
    assert table["sim-large"][1] == {
        "above_input_tokens": 128_000,
        "input": "10",
        "cached_input": "1.00",
        "output": "30",
    }


def test_every_price_is_documented() -> None:
    page = Path(__file__).parents[3].joinpath("docs/how-to/simulate.md").read_text(encoding="utf-8")
    assert all(f"${usd}" in page for fees in fee_table().values() for usd in fees.values())
    for model, tiers in price_table().items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{model}`"))
        for tier in tiers:
            assert f"${tier['input']} / ${tier['cached_input']} / ${tier['output']}" in row
            assert all(f"${tier[name]}" in row for name in ("cache_write", "cache_write_1h") if name in tier)


async def test_the_bill_equals_the_usage_delivered(sim, client) -> None:
    usages = []
    for model in ("sim-large", "sim-small", "sim-reasoner"):
        usages.append((await post(sim, chat(model))).json()["usage"])
        usages += (await post(sim, chat(model, **WITH_USAGE))).usages()
    usages.append(
        (await post(sim, {"model": "sim-embed", "input": ["a b", "c"]}, path="/v1/embeddings")).json()["usage"]
    )
    assert len(usages) == 7
    for record, usage in zip(sim.bill.records, usages, strict=True):
        assert record.usage_delivered
        assert record.prompt_tokens == usage["prompt_tokens"]
        assert record.completion_tokens == usage["total_tokens"] - usage["prompt_tokens"]
        details = usage.get("completion_tokens_details", {"reasoning_tokens": 0})
        assert record.reasoning_tokens == details["reasoning_tokens"]
        counts = Counts(record.prompt_tokens, record.cached_tokens, record.completion_tokens, record.reasoning_tokens)
        assert record.cost_nano_usd == cost_nano_usd(MODELS[record.model], counts)
    assert len({record.response_id for record in sim.bill.records}) == 7


async def test_the_file_has_every_record(tmp_path: Path) -> None:
    file = tmp_path / "bill.jsonl"
    for _ in range(2):  # a second start appends
        server = await start(SimulatorSettings(port=0, speed=0), bill_file=file)
        try:
            await post(server, chat())
            await post(server, chat(), x_sim_fault="cut")
        finally:
            await server.stop()
    lines = [Record(**json.loads(line)) for line in file.read_text().splitlines()]
    assert [line.outcome for line in lines] == ["ok", "cut"] * 2
    assert len({line.response_id for line in lines}) == 4


async def test_waiting_counts_from_the_last_clear() -> None:
    bill = Bill()
    bill.add("sim-fixed", Counts(1, 0, 1, 0), 5)
    await bill.wait(1)
    bill.clear()
    assert bill.as_dict()["totals"] == {}
    assert bill.posted == 0
