"""The generic cell rate algorithm (ITU-T I.371), on plain numbers. Pure.

A cell keeps one number, its theoretical arrival time `tat`: the Unix time at which everything admitted so far will have
been paid for at the steady rate. One that was never used has 0.

Every store computes with these formulas in this order, on IEEE doubles, so that all give the same answers. Steps of a
cell are whole multiples of 2**-22 s, the distance of doubles at today's Unix times: sums are then exact, and a burst of
many small steps is not refused for rounding. The steps are rounded down, in the client's favour.
"""

from __future__ import annotations

from math import floor
from typing import Final

GRID: Final = 4_194_304.0
"""Steps in a second: 2**22."""
SLACK_S: Final = 1e-9
"""What rounding of the burst's own length may come to."""
IDLE_S: Final = 3_600.0
"""A cell whose `tat` lies so long in the past may be forgotten: corrections change nothing in it any more."""


def ask(tat_s: float, now_s: float, units: int, limit: int, period_s: float, burst: int) -> tuple[float, float]:  # noqa: PLR0917 -- the terms of a formula
    """The cell's `tat` when `units` are admitted now, and how long it would have to wait: 0 when it passes.

    More than a burst at once passes when a whole burst would, and is paid for in full.
    """
    since_s = tat_s if tat_s > now_s else now_s
    after_s = since_s + floor(units * period_s / limit * GRID) / GRID
    first_s = after_s if units <= burst else since_s + floor(burst * period_s / limit * GRID) / GRID
    wait_s = first_s - now_s - burst * period_s / limit
    return after_s, wait_s if wait_s > SLACK_S else 0.0


def take(tat_s: float, now_s: float, units: int, limit: int, period_s: float, burst: int) -> tuple[float, float, int]:  # noqa: PLR0917 -- the terms of a formula
    """What `ask` says, and how many units would `remain` afterwards, in one go."""
    since_s = tat_s if tat_s > now_s else now_s
    after_s = since_s + floor(units * period_s / limit * GRID) / GRID
    burst_s = burst * period_s / limit
    first_s = after_s if units <= burst else since_s + floor(burst_s * GRID) / GRID
    wait_s = first_s - now_s - burst_s
    owed_s = after_s - now_s
    left = floor((burst_s - owed_s) * limit / period_s + 1e-6) if owed_s > 0.0 else burst
    return after_s, wait_s if wait_s > SLACK_S else 0.0, left if left > 0 else 0


def waited_s(owed_s: float, units: int, limit: int, period_s: float, burst: int) -> float:
    """How long `units` that were admitted all the same should have waited; `owed_s`: the `tat` after them, less now."""
    if units > burst:
        owed_s += floor(burst * period_s / limit * GRID) / GRID - floor(units * period_s / limit * GRID) / GRID
    wait_s = owed_s - burst * period_s / limit
    return wait_s if wait_s > SLACK_S else 0.0


def correct(tat_s: float, now_s: float, counted: int, actual: int, limit: int, period_s: float) -> float:  # noqa: PLR0917 -- the terms of a formula
    """The cell's `tat` when `counted` units turn out to have been `actual` ones (0: given back)."""
    if tat_s + IDLE_S <= now_s:
        return tat_s
    return tat_s + (floor(actual * period_s / limit * GRID) / GRID - floor(counted * period_s / limit * GRID) / GRID)


def remaining(tat_s: float, now_s: float, limit: int, period_s: float, burst: int) -> int:
    """How many units would pass now."""
    owed_s = tat_s - now_s
    if owed_s <= 0.0:
        return burst
    left = floor((burst * period_s / limit - owed_s) * limit / period_s + 1e-6)
    return left if left > 0 else 0
