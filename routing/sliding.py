"""How often something happened lately: a sliding count in a ring of buckets, O(1) an event. Pure."""

from __future__ import annotations

from typing import Final

BUCKETS: Final = 10
"""A window forgets in steps of a tenth: it covers between nine tenths and the whole of its length."""


class SlidingCount:
    """Events of the last `window_s` seconds. Time that goes backwards counts as no time at all."""

    __slots__ = ("_at", "_buckets", "_ends_s", "_width_s", "most")

    def __init__(self, window_s: float) -> None:
        self._width_s = window_s / BUCKETS
        self._buckets = [0] * BUCKETS
        self._at = 0
        self._ends_s = -float("inf")
        self.most = 0
        """The count at the last look. Time makes it less, so that it is never more until an event is added."""

    def add(self, now_s: float) -> None:
        """Count one event."""
        if now_s >= self._ends_s:
            self._turn(now_s)
        self._buckets[self._at] += 1
        self.most += 1

    def count(self, now_s: float) -> int:
        """How many events the window holds."""
        if now_s >= self._ends_s:
            self._turn(now_s)
        return self.most

    def clear(self) -> None:
        """Forget all events."""
        self._buckets = [0] * BUCKETS
        self.most = 0

    def _turn(self, now_s: float) -> None:
        """Begin the bucket that `now_s` lies in, forgetting those that the window has left behind."""
        passed = (now_s - self._ends_s) / self._width_s
        if passed >= BUCKETS - 1:
            self.clear()
            self._ends_s = now_s + self._width_s
            return
        for _ in range(int(passed) + 1):
            self._at = (self._at + 1) % BUCKETS
            self.most -= self._buckets[self._at]
            self._buckets[self._at] = 0
            self._ends_s += self._width_s
