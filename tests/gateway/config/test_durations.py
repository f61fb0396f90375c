from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.durations import UNITS_S, PerPeriod, parse_duration, parse_rate

counts = st.integers(1, 10**12)
units = st.sampled_from(sorted(UNITS_S))


@given(count=counts, unit=units)
def test_lengths_of_time(count: int, unit: str) -> None:
    assert parse_duration(f"{count}{unit}") == parse_duration(f"{count:_} {unit}") == count * UNITS_S[unit]


@given(count=counts, unit=units)
def test_rates(count: int, unit: str) -> None:
    assert parse_rate(f"{count}/{unit}") == parse_rate(f"{count:_} / {unit}") == PerPeriod(count, UNITS_S[unit])


def test_units() -> None:
    assert [parse_duration(text) for text in ("90s", "30m", "6h", "7d")] == [90, 1_800, 21_600, 604_800]
    assert parse_rate("600/min") == (600, 60)


NO_TIMES = ["", "6", "h", "6ms", "0h", "-6h", "1.5h", "6h6m", "6__0s", "6w", "6H", "\u0666h", "9" * 99 + "h"]


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="length of time"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "600", "/min", "600/", "600/week", "0/s", "-1/s", "1.5/s", "6/m/m", "600 per min"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="count per time"):
        parse_rate(text)
