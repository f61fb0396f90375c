"""The stretches of time that reports are about: whole UTC days, as roll-ups count. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_LENGTH = re.compile(r"([0-9]{1,5})([hdwmy])")
_UNIT_S: Final = {"h": 3_600, "d": DAY_S, "w": 7 * DAY_S, "m": 30 * DAY_S, "y": 365 * DAY_S}


class Period(NamedTuple):
    """Days since 1970-01-01 UTC: from the first up to, not including, the last."""

    first: int
    end: int

    @property
    def before(self) -> Period:
        """As many days, right before it."""
        return Period(2 * self.first - self.end, self.first)

    @property
    def days(self) -> int:
        """How many it has."""
        return self.end - self.first


def period(since: str, until: str | None, now_s: float) -> Period:
    """The days from `since` to before `until`; until and with today when `until` is None.

    `since` is a date (2026-11-01) or a length of time up to the end: `30d` is thirty days, the last one included.
    `until` is a date. Raises ValueError, in words for people.
    """
    end = int(now_s // DAY_S) + 1 if until is None else day_of(until)
    found = _LENGTH.fullmatch(since)
    first = end - max(1, -(-int(found[1]) * _UNIT_S[found[2]] // DAY_S)) if found else day_of(since)
    if not 0 <= first < end:
        raise ValueError(f"there is no day from {since} to before {until or 'tomorrow'}")
    return Period(first, end)


def day_of(text: str) -> int:
    """The day of a date such as 2026-11-21. Raises ValueError, in words for people."""
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise ValueError(
            f"`{text[:40]}` is neither a date such as 2026-11-21 nor a length of time such as 30d"
        ) from None


def date_of(day: int) -> str:
    """A day as a date: 2026-11-21."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def week_of(day: int) -> str:
    """The ISO week that a day is in: 2026-W47."""
    year, week, _ = (_EPOCH + timedelta(days=day)).isocalendar()
    return f"{year}-W{week:02d}"


def month_of(day: int) -> str:
    """The month that a day is in: 2026-11."""
    return date_of(day)[:7]


def instant(day: int) -> str:
    """A day's first moment, as FOCUS writes it: 2026-11-21T00:00:00Z."""
    return f"{date_of(day)}T00:00:00Z"


def month_bounds(day: int) -> tuple[int, int]:
    """The first day of a day's month, and the first one after it."""
    first = (_EPOCH + timedelta(days=day)).replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    return (first - _EPOCH).days, (after - _EPOCH).days


def day_of_time(at_s: float) -> int:
    """The UTC day of a Unix time."""
    return (datetime.fromtimestamp(at_s, UTC).date() - _EPOCH).days
