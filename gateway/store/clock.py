"""The store's time: the wall clock, held to the monotonic one so that a step of the wall clock moves no window.

the wall clock is         the store's time
up to 60 s ahead          follows at once
more than 60 s ahead      goes on by the monotonic clock; follows when the wall clock still says so 60 s later
behind                    goes at half speed until the wall clock has caught up; it never goes back

It is whole microseconds, as the journal keeps it: no moment is in one window here and in the next one there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

JUMP_S: Final = 60.0
"""A forward step of more than this has to be confirmed: money of the next window is not spent for a wrong clock."""
CONFIRM_S: Final = 60.0
"""So much monotonic time after a jump was first seen, the wall clock must still show it."""
_SLEW: Final = 0.5


class StoreClock:
    """Call it for the store's time. `wall` and `monotonic` are `time.time` and `time.monotonic`, or a test's own.

    `floor_s` is the latest store time that the journal knows: the clock starts no earlier.
    """

    __slots__ = ("_jump_s", "_jumped_at_s", "_monotonic", "_monotonic_s", "_now_s", "_wall")

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float], floor_s: float = 0.0) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._monotonic_s = monotonic()
        self._now_s = max(wall(), floor_s)
        self._jumped_at_s: float | None = None
        self._jump_s = 0.0

    def __call__(self) -> float:
        """Unix time in seconds; never less than an earlier answer."""
        wall_s = self._wall()
        monotonic_s = self._monotonic()
        passed_s = monotonic_s - self._monotonic_s
        ahead_s = wall_s - self._now_s - passed_s
        self._monotonic_s = monotonic_s
        if 0.0 <= ahead_s <= JUMP_S:
            self._now_s = wall_s
            self._jumped_at_s = None
        elif ahead_s < 0.0:
            self._now_s += min(passed_s, max(passed_s * _SLEW, passed_s + ahead_s))
            self._jumped_at_s = None
        else:
            self._now_s += passed_s
            self._confirm(ahead_s, wall_s)
        return round(self._now_s * 1e6) / 1e6

    @property
    def jump_s(self) -> float:
        """How far the wall clock is ahead while that is not confirmed; 0 otherwise."""
        return 0.0 if self._jumped_at_s is None else self._jump_s

    def _confirm(self, ahead_s: float, wall_s: float) -> None:
        if self._jumped_at_s is None or abs(ahead_s - self._jump_s) > JUMP_S:  # a jump, or another one
            self._jumped_at_s = self._monotonic_s
            self._jump_s = ahead_s
        elif self._monotonic_s - self._jumped_at_s >= CONFIRM_S:
            self._now_s = wall_s
            self._jumped_at_s = None
