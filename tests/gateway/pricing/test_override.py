from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.pricing.override import compile_override
from gateway.pricing.rates import RATE_NAMES
from routing.money import PricePoint, Usage, cost


def point(spec: dict[str, Any], input_tokens: int = 1, tier: str = "default") -> PricePoint:
    return compile_override(spec, "config:m").at(input_tokens, 0.0, tier)


def test_usd_per_million_tokens_become_pico_usd_a_token() -> None:
    made = point({"input": "0.25", "output": "2", "cache_read": "0.025", "request": "0.005"})
    assert (made.input, made.output, made.cache_read, made.request_nano_usd) == (250_000, 2_000_000, 25_000, 5_000_000)
    assert made.id == "config:m"
    assert cost(Usage(1_000_000, 1_000_000), made) == 2_255_000_000


def test_every_kind_can_be_given() -> None:
    spec = {name: str(index) for index, name in enumerate(RATE_NAMES, start=1)}
    assert point(spec)[1:-1] == tuple(index * 1_000_000 for index in range(1, len(RATE_NAMES) + 1))


def test_what_is_absent_costs_as_its_parent() -> None:
    made = point({"input": "1", "output": "2", "cache_write": "3", "cache_read": "4", "cache_write_1h": None})
    assert made.cache_write_1h == made.cache_write == 3_000_000
    assert made.cache_read_audio == made.cache_read == 4_000_000
    assert made.input_audio == made.input_image == made.input == 1_000_000
    assert made.output_audio == made.output_image == made.output == 2_000_000


def test_input_alone_prices_output_as_input_and_never_at_nothing() -> None:
    assert point({"input": "0.13"}).output == 130_000


def test_an_explicit_zero_is_a_price() -> None:
    made = point({"input": "0", "output": "0"})
    assert cost(Usage(10**6, 10**6), made) == 0
    assert point({"input": "1", "cache_read": "0"}).cache_read == 0


def test_context_tiers_build_on_the_tier_below() -> None:
    spec = {
        "input": "1",
        "output": "5",
        "context_tiers": [
            {"above_input_tokens": 200_000, "input": "2"},
            {"above_input_tokens": 400_000, "output": "9"},
        ],
    }
    assert [point(spec, tokens).input for tokens in (200_000, 200_001, 400_001)] == [1_000_000, 2_000_000, 2_000_000]
    assert [point(spec, tokens).output for tokens in (200_000, 200_001, 400_001)] == [5_000_000, 5_000_000, 9_000_000]
    assert point(spec, 200_001).id == "config:m>200000"
    assert point(spec, 200_001).cache_read == 2_000_000


def test_service_tiers_refine_the_price() -> None:
    spec = {"input": "1", "output": "5", "cache_read": "0.1", "service_tiers": {"flex": {"input": "0.5"}}}
    flex = point(spec, tier="flex")
    assert (flex.id, flex.input, flex.output, flex.cache_read) == ("config:m+flex", 500_000, 5_000_000, 100_000)
    assert point(spec, tier="unheard-of").id == "config:m"


def test_a_service_tier_has_context_tiers_of_its_own() -> None:
    spec = {
        "input": "1",
        "context_tiers": [{"above_input_tokens": 10, "input": "2"}],
        "service_tiers": {
            "flex": {"input": "0.5", "context_tiers": [{"above_input_tokens": 20, "input": "0.7"}]},
            "fast": {"input": "3", "context_tiers": []},
        },
    }
    assert [point(spec, n, "flex").input for n in (11, 21)] == [500_000, 700_000]
    assert point(spec, 21, "flex").id == "config:m+flex>20"
    assert point(spec, 21, "fast").input == 3_000_000


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "input: a price needs"),
        ({"output": "1"}, "input: a price needs"),
        ({"input": None}, "input: a price needs"),
        ({"input": "-1"}, "input: -1 is below zero"),
        ({"input": "NaN"}, "input: 'NaN' is not a decimal amount"),
        ({"input": "Infinity"}, "input: 'Infinity' is not"),
        ({"input": Decimal("NaN")}, "input: 'NaN' is not"),
        ({"input": "1e-3"}, "input: '1e-3' is not"),
        ({"input": ""}, "input: '' is not"),
        ({"input": 0.1}, "input: must be a decimal string in quotes, for money is never a float; got 0.1"),
        ({"input": True}, "input: must be a decimal string"),
        ({"input": "1", "output": ["2"]}, "output: must be a decimal string"),
        ({"input": "0.0000001"}, "input: '0.0000001' has more than the 6 decimals"),
        ({"input": "1", "request": "0.0000000001"}, "request: '0.0000000001' has more than the 9 decimals"),
        ({"input": "1", "ouput": "2"}, "ouput: unknown field; a price has input, output, cache_read"),
        ({"input": "1", "context_tiers": "x"}, "context_tiers: must be a list"),
        ({"input": "1", "context_tiers": [3]}, "context_tiers[0]: must be a mapping"),
        ({"input": "1", "context_tiers": [{"input": "2"}]}, "context_tiers[0].above_input_tokens: must be an integer"),
        (
            {"input": "1", "context_tiers": [{"above_input_tokens": 5}, {"above_input_tokens": 5}]},
            "context_tiers[1].above_input_tokens: must be an integer above 5; got 5",
        ),
        (
            {"input": "1", "context_tiers": [{"above_input_tokens": 5, "input": "x"}]},
            "context_tiers[0].input: 'x' is not",
        ),
        ({"input": "1", "service_tiers": ["flex"]}, "service_tiers: must be a mapping"),
        ({"input": "1", "service_tiers": {"flex": "1"}}, "service_tiers.flex: must be a mapping"),
        ({"input": "1", "service_tiers": {"flex": {"output": "-2"}}}, "service_tiers.flex.output: -2 is below zero"),
        ({"input": "1", "service_tiers": {"flex": {"service_tiers": {}}}}, "service_tiers.flex.service_tiers: unknown"),
        ({"input": "1", "service_tiers": {"default": {"input": "2"}}}, "service_tiers.default: the default tier's"),
        (
            {"input": "1", "context_tiers": [{"above_input_tokens": 5}], "service_tiers": {"flex": {"input": "2"}}},
            "service_tiers.flex.context_tiers: say what a long input costs",
        ),
    ],
)
def test_mistakes_name_their_field(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        compile_override(spec, "config:m")
    assert str(refused.value).startswith(message)


@given(st.decimals(min_value=0, max_value=10**6, places=6, allow_nan=False, allow_infinity=False))
def test_any_amount_of_six_decimals_is_exact(usd: Decimal) -> None:
    assert point({"input": f"{usd:f}"}).input == usd * 10**6
    assert point({"input": usd}).input == usd * 10**6


def test_the_documented_example_is_what_it_says() -> None:
    page = (Path(__file__).parents[3] / "docs" / "money.md").read_text()
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    spec = example["models"]["my-model"]["deployments"][0]["price"]
    assert point(spec).cache_write == 312_500
    assert point(spec, 200_001).output == 3_000_000
    assert point(spec, 200_001, "flex").input == 125_000
    assert point(spec, tier="flex").request_nano_usd == 5_000_000
