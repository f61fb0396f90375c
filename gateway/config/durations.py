"""Lengths of time and rates as people write them: `6h`, `600/min`. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

UNITS_S = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3_600),
    **dict.fromkeys(("d", "day"), 86_400),
}

_NUMBER = r"[0-9](?:_?[0-9]){0,14}"
_DURATION = re.compile(rf"(?P<count>{_NUMBER}) ?(?P<unit>[a-z]+)")
_RATE = re.compile(rf"(?P<count>{_NUMBER}) ?/ ?(?P<unit>[a-z]+)")


class PerPeriod(NamedTuple):
    """So many in so many seconds."""

    units: int
    period_s: int


def parse_duration(text: str) -> int:
    """Seconds of `90s`, `30m`, `6h` or `7d`. Raises ValueError, without the text, for anything else."""
    found = _DURATION.fullmatch(text)
    unit = found and UNITS_S.get(found["unit"])
    if not found or not unit or not int(found["count"]):
        raise ValueError("should be a length of time such as `90s`, `30m`, `6h` or `7d`")
    return int(found["count"]) * unit


def parse_rate(text: str) -> PerPeriod:
    """A count per unit of time, such as `600/min` or `1_000_000/h`. Raises ValueError, without the text."""
    found = _RATE.fullmatch(text)
    unit = found and UNITS_S.get(found["unit"])
    if not found or not unit or not int(found["count"]):
        raise ValueError("should be a count per time such as `600/min`; the time is s, min, h or d")
    return PerPeriod(int(found["count"]), unit)
