"""When each piece of an answer is due, in seconds since the request came in."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from gateway.simulator.models import Pace


class Timing(NamedTuple):
    """What bends a model's pace for one request."""

    speed: float = 1.0
    """Divides all waiting; 0 means none."""
    slowdown: float = 1.0
    """Multiplies all waiting."""
    first_ms: float | None = None
    """A fixed time to the first token, whatever the speed."""
    token_ms: float | None = None
    """A fixed time between tokens, whatever the speed."""
    stalls: tuple[tuple[int, float], ...] = ()
    """(after so many tokens, seconds) pauses, whatever the speed."""
    parallel: int = 1
    """Choices generated side by side."""


def plan(pace: Pace, tokens: Sequence[int], timing: Timing, dice: Random) -> list[float]:
    """When each piece is due; `tokens` are the pieces' sizes. Never decreasing."""
    scale = timing.slowdown / timing.speed if timing.speed > 0 else 0.0
    now = pace.first_token_s * math.exp(dice.gauss(0.0, pace.first_token_sigma)) * scale
    if timing.first_ms is not None:
        now = timing.first_ms / 1000
    interval = scale / pace.tokens_per_s / timing.parallel if pace.tokens_per_s else 0.0
    stalls = sorted(timing.stalls, reverse=True)
    due: list[float] = []
    made = 0
    for size in tokens:
        while stalls and made >= stalls[-1][0]:
            now += stalls.pop()[1]
        if made:
            mean = interval if timing.token_ms is None else timing.token_ms / 1000
            wobble = 1.0 if timing.token_ms is not None else max(0.05, dice.gauss(1.0, pace.jitter))
            now += mean * wobble * size
        due.append(now)
        made += size
    return due


def pieces_due(due: Sequence[float], elapsed_s: float) -> int:
    """How many pieces are made after `elapsed_s`."""
    return bisect_right(due, elapsed_s)
