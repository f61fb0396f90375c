"""Windows: the stretches of time that a budget's limit holds for. Pure: the time arrives as `now_s`.

Calendar windows (hour to year) follow a time zone, its daylight saving included; `rolling` ones are the last
`length_s` seconds, counted in `ROLLING_BUCKETS` buckets; `total` is for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal, NamedTuple

Period = Literal["hour", "day", "week", "month", "quarter", "year", "rolling", "total"]

ROLLING_BUCKETS: Final = 60
"""A rolling window forgets spend a sixtieth of its length late, never early."""
FOREVER_S: Final = 253_370_764_800.0
"""Unix time of the year 9999: the end of windows without an end."""


class Span(NamedTuple):
    """One window of a budget."""

    id: str
    """Sorts by time, and differs wherever the bounds differ: the window of a counter never changes.

    `2026`, `2026-Q4`, `2026-11`, `2026-W47`, `2026-11-21`, `2026-11@Europe/Berlin`, `2026-11-21T0730Z`, `rolling:3600`,
    `total`.
    """
    start_s: float
    """Unix time of its first moment."""
    end_s: float
    """Unix time of the first moment after it."""


@dataclass(frozen=True, slots=True)
class Window:
    """How a budget divides time."""

    period: Period
    zone: str = "UTC"
    """IANA name; calendar periods begin at its midnights."""
    length_s: int = 0
    """Of a rolling window."""

    @property
    def bucket_s(self) -> int:
        """Length of a rolling window's bucket in whole seconds; 0 for any other window."""
        return -(-self.length_s // ROLLING_BUCKETS) if self.period == "rolling" else 0

    def at(self, now_s: float) -> Span:
        """The window that Unix time `now_s` falls in."""
        if self.period == "total":
            return _TOTAL
        if self.period == "rolling":
            return Span(f"rolling:{self.length_s}", 0.0, FOREVER_S)
        return _calendar(self.period, self.zone, int(now_s // _STEP_S))


_TOTAL = Span("total", 0.0, FOREVER_S)
_STEP_S = 900
"""Nowhere, since 2016, has an offset changed or an hour begun between two multiples of a quarter of an hour."""


@lru_cache(maxsize=4096)
def _calendar(period: Period, zone: str, quarter: int) -> Span:
    place = _place(zone)
    if period == "hour":
        return _hour(place, quarter)
    moment = datetime.fromtimestamp(quarter * _STEP_S, place)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    start, end, name = _bounds(period, midnight)
    return Span(name if zone == "UTC" else f"{name}@{zone}", start.timestamp(), end.timestamp())


def _place(zone: str) -> tzinfo:
    if zone == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # most installations need UTC only

    return ZoneInfo(zone)


def _hour(place: tzinfo, quarter: int) -> Span:
    """From one full local hour to the next: 3600 seconds, but where daylight saving is half an hour (Lord Howe)."""
    start = quarter
    while not _begins_hour(place, start):
        start -= 1
    end = quarter + 1
    while not _begins_hour(place, end):
        end += 1
    name = f"{datetime.fromtimestamp(start * _STEP_S, UTC):%Y-%m-%dT%H%MZ}"
    return Span(name, float(start * _STEP_S), float(end * _STEP_S))


def _begins_hour(place: tzinfo, quarter: int) -> bool:
    return datetime.fromtimestamp(quarter * _STEP_S, place).minute == 0


def _bounds(period: Period, midnight: datetime) -> tuple[datetime, datetime, str]:
    """Local midnights: arithmetic on them stays local, so that days of 23 and 25 hours come out right."""
    if period == "day":
        return midnight, midnight + timedelta(days=1), f"{midnight:%Y-%m-%d}"
    if period == "week":  # ISO 8601: weeks begin on Monday
        start = midnight - timedelta(days=midnight.weekday())
        year, week, _ = start.isocalendar()
        return start, start + timedelta(days=7), f"{year}-W{week:02d}"
    months = {"month": 1, "quarter": 3, "year": 12}[period]
    first = (midnight.month - 1) // months * months + 1
    start = midnight.replace(month=first, day=1)
    after = first + months
    end = start.replace(year=start.year + (after > 12), month=after - 12 if after > 12 else after)
    names = {"month": f"{start:%Y-%m}", "quarter": f"{start.year}-Q{(first + 2) // 3}", "year": f"{start.year}"}
    return start, end, names[period]
