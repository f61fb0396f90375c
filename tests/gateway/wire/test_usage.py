"""Every provider's way to count becomes OpenAI's, and impossible counts become no usage at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.usage import MAX_COUNT, WireUsage, normalise, reported_cost
from routing.money import Usage


def read(**usage: Any) -> Usage | None:
    return normalise(msgspec.json.decode(msgspec.json.encode(usage), type=WireUsage))


def test_openai() -> None:
    assert read(
        prompt_tokens=100,
        completion_tokens=50,
        total_tokens=150,
        prompt_tokens_details={"cached_tokens": 64, "audio_tokens": 3, "image_tokens": 4, "cache_write_tokens": 5},
        completion_tokens_details={
            "reasoning_tokens": 30,
            "audio_tokens": 2,
            "accepted_prediction_tokens": 1,
            "rejected_prediction_tokens": 7,
        },
    ) == Usage(
        input_tokens=100,
        output_tokens=50,
        cache_read_tokens=64,
        cache_write_tokens=5,
        input_audio_tokens=3,
        input_image_tokens=4,
        output_audio_tokens=2,
        reasoning_tokens=30,
    )


def test_embeddings_have_no_completion() -> None:
    assert read(prompt_tokens=8, total_tokens=8) == Usage(input_tokens=8)


def test_xai_counts_reasoning_in_the_total_only() -> None:
    usage = read(
        prompt_tokens=32,
        completion_tokens=9,
        total_tokens=135,
        completion_tokens_details={"reasoning_tokens": 94},
    )
    assert usage == Usage(input_tokens=32, output_tokens=103, reasoning_tokens=94)


def test_gemini_does_not_name_the_rest_at_all() -> None:
    assert read(prompt_tokens=10, completion_tokens=5, total_tokens=40) == Usage(input_tokens=10, output_tokens=30)


@pytest.mark.parametrize("total", [None, 0, 14])
def test_a_total_below_its_parts_is_not_believed(total: int | None) -> None:
    assert read(prompt_tokens=10, completion_tokens=5, total_tokens=total) == Usage(input_tokens=10, output_tokens=5)


def test_deepseek_names_cached_tokens_otherwise() -> None:
    usage = read(
        prompt_tokens=20, completion_tokens=1, prompt_cache_hit_tokens=15, prompt_cache_miss_tokens=5, total_tokens=21
    )
    assert usage == Usage(input_tokens=20, output_tokens=1, cache_read_tokens=15)


def test_cache_creation_is_a_cache_write() -> None:
    usage = read(prompt_tokens=20, completion_tokens=1, prompt_tokens_details={"cache_creation_tokens": 6})
    assert usage is not None
    assert usage.cache_write_tokens == 6


def test_nulls_are_as_good_as_absent() -> None:
    usage = read(
        prompt_tokens=3,
        completion_tokens=None,
        total_tokens=None,
        prompt_tokens_details=None,
        completion_tokens_details={"reasoning_tokens": None},
    )
    assert usage == Usage(input_tokens=3)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"completion_tokens": 5},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": -1},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": -3}},
        {"prompt_tokens": MAX_COUNT + 1, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": 10**30},
        {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10**19},
        {"prompt_tokens": 5, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 10**18}},
    ],
)
def test_what_cannot_be_is_no_usage(usage: dict[str, Any]) -> None:
    assert read(**usage) is None


def test_absent_is_no_usage() -> None:
    assert normalise(None) is None


_COUNTS = st.none() | st.integers(-(10**20), 10**20) | st.integers(-5, 1000)


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens"]), _COUNTS
    ),
    st.none() | st.dictionaries(st.sampled_from(["cached_tokens", "audio_tokens", "image_tokens"]), _COUNTS),
    st.none() | st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens"]), _COUNTS),
)
def test_counts_are_possible_and_never_less_than_said(
    totals: dict[str, int | None], inputs: dict[str, int | None] | None, outputs: dict[str, int | None] | None
) -> None:
    usage = read(**totals, prompt_tokens_details=inputs, completion_tokens_details=outputs)
    if usage is None:
        return
    assert all(0 <= count <= MAX_COUNT for count in usage)
    assert usage.input_tokens == totals["prompt_tokens"]
    assert usage.output_tokens >= (totals.get("completion_tokens") or 0)
    assert usage.input_tokens + usage.output_tokens >= (totals.get("total_tokens") or 0)


@pytest.mark.parametrize(("written", "hour", "minutes"), [(70, 30, 40), (70, 70, 0), (70, 0, 70), (None, 30, 0)])
def test_anthropics_writes_by_how_long_they_are_kept(written: int | None, hour: int, minutes: int) -> None:
    details = {"cache_write_tokens": written, "cache_write_1h_tokens": hour}

    assert read(prompt_tokens=100, completion_tokens=5, prompt_tokens_details=details) == Usage(
        input_tokens=100, output_tokens=5, cache_write_tokens=minutes, cache_write_1h_tokens=hour
    )


def test_writes_below_zero_are_no_usage() -> None:
    assert read(prompt_tokens=100, prompt_tokens_details={"cache_write_1h_tokens": -5}) is None


@given(st.decimals(0, 1_000_000, allow_nan=False, allow_infinity=False, places=12))
def test_a_reported_cost_is_rounded_up_to_a_nano_dollar(usd: Decimal) -> None:
    wire = msgspec.json.decode(b'{"cost": %s}' % str(usd).lower().encode(), type=WireUsage)
    found = reported_cost(wire)
    assert found is not None
    assert 0 <= found - usd * 10**9 < 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5) | st.integers(-9, -1), lambda x: st.lists(x, max_size=2)
    )
)
def test_anything_else_is_no_cost_and_no_harm(cost: object) -> None:
    wire = msgspec.json.decode(msgspec.json.encode({"prompt_tokens": 3, "cost": cost}), type=WireUsage)
    assert reported_cost(wire) is None
    assert normalise(wire) == Usage(3)
