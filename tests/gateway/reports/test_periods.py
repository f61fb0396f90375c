from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.periods import (
    DAY_S,
    Period,
    date_of,
    day_of,
    day_of_time,
    instant,
    month_bounds,
    month_of,
    period,
    week_of,
)

NOW_S = 20_778 * DAY_S + 48_000.0


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        ("30d", None, "2026-10-23", "2026-11-21"),
        ("12h", None, "2026-11-21", "2026-11-21"),
        ("25h", None, "2026-11-20", "2026-11-21"),
        ("2w", None, "2026-11-08", "2026-11-21"),
        ("2026-11-01", None, "2026-11-01", "2026-11-21"),
        ("2026-10-01", "2026-11-01", "2026-10-01", "2026-10-31"),
        ("7d", "2026-11-01", "2026-10-25", "2026-10-31"),
    ],
)
def test_periods(since: str, until: str | None, first: str, last: str) -> None:
    found = period(since, until, NOW_S)
    assert (date_of(found.first), date_of(found.end - 1)) == (first, last)
    assert (found.before.days, found.before.end) == (found.days, found.first)


@pytest.mark.parametrize(
    ("since", "until"), [("", None), ("30", None), ("d", None), ("2026-13-01", None), ("2026-12-01", "2026-11-01")]
)
def test_what_is_no_period(since: str, until: str | None) -> None:
    with pytest.raises(ValueError, match=r"is neither a date|there is no day"):
        period(since, until, NOW_S)


@given(st.integers(0, 2_000_000))
def test_days_have_names(day: int) -> None:
    assert day_of(date_of(day)) == day == day_of_time(day * DAY_S)
    assert date_of(day).startswith(month_of(day))
    assert instant(day) == f"{date_of(day)}T00:00:00Z"
    first, after = month_bounds(day)
    assert first <= day < after
    assert date_of(first).endswith("-01")
    assert date_of(after).endswith("-01")
    assert 28 <= after - first <= 31


def test_weeks_are_iso_weeks() -> None:
    assert week_of(day_of("2027-01-01")) == "2026-W53"
    assert Period(3, 5).before == (1, 3)
