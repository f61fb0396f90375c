"""Windows follow the calendar of their zone, and leave no moment out."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.ledger.windows import FOREVER_S, Period, Span, Window

CALENDAR: tuple[Period, ...] = ("hour", "day", "week", "month", "quarter", "year")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # -3:30
    "America/Havana",  # clocks change at midnight, both ways
    "America/Santiago",  # southern, at midnight
    "Africa/Cairo",  # at midnight, the last day repeats its last hour
    "Africa/Casablanca",  # daylight saving but in Ramadan
    "Asia/Kolkata",  # +5:30
    "Asia/Kathmandu",  # +5:45
    "Asia/Tehran",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Pacific/Chatham",  # +12:45
    "Pacific/Kiritimati",  # +14
)
moments_s = st.integers(1_514_764_800, 2_500_000_000)  # 2018 to 2049


def at(text: str, zone: str = "UTC", fold: int = 0) -> float:
    """Unix time of a local date and time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@given(period=st.sampled_from(CALENDAR), zone=st.sampled_from(ZONES), now_s=moments_s, part=st.floats(0, 0.999))
@example("hour", "Australia/Lord_Howe", int(utc("2026-10-03T15:30")), 0.0)
@example("day", "Africa/Cairo", int(utc("2026-10-29T20:59:59")), 0.5)
def test_windows_leave_no_moment_out_and_do_not_overlap(period: Period, zone: str, now_s: int, part: float) -> None:
    window = Window(period, zone)
    span = window.at(now_s + part)
    assert span.start_s <= now_s + part < span.end_s
    assert window.at(span.start_s) == span
    assert window.at(span.end_s - 1e-3) == span
    after = window.at(span.end_s)
    assert after.start_s == span.end_s
    assert after.id > span.id, "ids sort by time"


@given(period=st.sampled_from(CALENDAR[1:]), zone=st.sampled_from(ZONES), now_s=moments_s)
def test_calendar_windows_begin_as_the_date_changes(period: Period, zone: str, now_s: int) -> None:
    start_s = Window(period, zone).at(now_s).start_s
    place = ZoneInfo(zone)
    assert datetime.fromtimestamp(start_s, place).date() != datetime.fromtimestamp(start_s - 1, place).date()


@given(zone=st.sampled_from(ZONES), now_s=moments_s)
def test_every_window_holds_whole_days(zone: str, now_s: int) -> None:
    day = Window("day", zone).at(now_s)
    for period in ("week", "month", "quarter", "year"):
        span = Window(period, zone).at(now_s)
        assert span.start_s <= day.start_s
        assert day.end_s <= span.end_s
        assert Window(period, zone).at(day.start_s) == Window(period, zone).at(day.end_s - 1) == span


@given(zone=st.sampled_from(ZONES), other=st.sampled_from(ZONES), now_s=moments_s)
def test_one_id_never_means_two_windows(zone: str, other: str, now_s: int) -> None:
    spans = [Window(period, place).at(now_s) for period in CALENDAR for place in (zone, other)]
    bounds: dict[str, Span] = {}
    for span in spans:
        assert bounds.setdefault(span.id, span) == span


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-11-01", 25),
        ("America/Havana", "2026-03-08", 23),
        ("America/Havana", "2026-11-01", 25),
        ("Africa/Cairo", "2026-04-24", 23),
        ("Africa/Cairo", "2026-10-29", 25),
        ("America/Santiago", "2026-09-06", 23),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Asia/Kolkata", "2026-03-29", 24),
    ],
)
def test_days_are_as_long_as_their_clocks_say(zone: str, day: str, hours: float) -> None:
    span = Window("day", zone).at(at(f"{day}T12:00", zone))
    assert span.id == f"{day}@{zone}"
    assert span.end_s - span.start_s == hours * 3600


@pytest.mark.parametrize(
    ("now", "id", "start", "end"),
    [
        ("2024-12-30T00:00", "2025-W01", "2024-12-30", "2025-01-06"),
        ("2026-12-31T23:59:59", "2026-W53", "2026-12-28", "2027-01-04"),
        ("2027-01-03T12:00", "2026-W53", "2026-12-28", "2027-01-04"),
        ("2027-01-04T00:00", "2027-W01", "2027-01-04", "2027-01-11"),
    ],
)
def test_weeks_are_iso_weeks(now: str, id: str, start: str, end: str) -> None:
    assert Window("week").at(utc(now)) == Span(id, utc(start), utc(end))


@pytest.mark.parametrize(
    ("period", "id", "start", "end"),
    [
        ("day", "2027-12-31", "2027-12-31", "2028-01-01"),
        ("month", "2027-12", "2027-12-01", "2028-01-01"),
        ("quarter", "2027-Q4", "2027-10-01", "2028-01-01"),
        ("year", "2027", "2027-01-01", "2028-01-01"),
    ],
)
def test_years_end(period: Period, id: str, start: str, end: str) -> None:
    assert Window(period).at(utc("2027-12-31T23:59:59")) == Span(id, utc(start), utc(end))
    assert Window(period).at(utc("2028-01-01T00:00")).start_s == utc("2028-01-01")


def test_february_has_29_days_in_a_leap_year() -> None:
    span = Window("month").at(utc("2028-02-29T12:00"))
    assert (span.end_s - span.start_s) / 86_400 == 29


def test_hours_follow_the_zones_own_clock() -> None:
    span = Window("hour", "Asia/Kolkata").at(utc("2026-11-21T07:45"))
    assert span == Span("2026-11-21T0730Z", utc("2026-11-21T07:30"), utc("2026-11-21T08:30"))
    assert Window("hour", "Asia/Kathmandu").at(utc("2026-11-21T07:10")).start_s == utc("2026-11-21T06:15")


def test_the_hour_that_comes_twice_in_autumn_is_two_windows() -> None:
    window = Window("hour", "Europe/Berlin")
    first, second = (window.at(at("2026-10-25T02:30", "Europe/Berlin", fold)) for fold in (0, 1))
    assert first.end_s == second.start_s
    assert first.id != second.id


def test_lord_howe_changes_by_half_an_hour() -> None:
    window = Window("hour", "Australia/Lord_Howe")
    span = window.at(utc("2026-10-03T15:40"))
    assert (span.start_s, span.end_s) == (utc("2026-10-03T14:30"), utc("2026-10-03T16:00"))


def test_a_total_has_no_end() -> None:
    assert Window("total").at(utc("2026-11-21")) == Span("total", 0.0, FOREVER_S)


def test_a_rolling_window_is_told_by_its_length() -> None:
    assert Window("rolling", length_s=3600).at(0.0) == Span("rolling:3600", 0.0, FOREVER_S)
    assert Window("rolling", length_s=3600).bucket_s == 60
    assert Window("rolling", length_s=61).bucket_s == 2, "a bucket is never shorter than a sixtieth"
    assert Window("day", length_s=3600).bucket_s == 0
