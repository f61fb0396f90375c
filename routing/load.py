"""How busy a deployment is, and how quick: calls in flight, and the peak EWMA of their first bytes. Pure.

The average is Finagle's (`PeakEwma`): a first byte that is later than usual counts in full at once, one that is
earlier pulls the average down slowly. It fades as nothing is heard, so that a deployment that was slow once is tried
again: after `FADE_S` times the logarithm of how many times slower it was than the others. How long calls have been
waiting for their first byte counts as well, before it comes: one that stalls is noticed while it does.

Streams and whole answers have averages of their own. A whole answer's first byte comes when all of it is generated:
next to a stream's it would look like a stall.
"""

from __future__ import annotations

from math import exp
from typing import Final, NamedTuple

FADE_S: Final = 30.0
"""What was seen so long ago counts for about a third."""
UNKNOWN_S: Final = 1e9
"""What to expect of one that is being tried for the first time: one call is enough to get to know it."""


class Load(NamedTuple):
    """A deployment at one moment."""

    in_flight: int = 0
    latency_s: float | None = None
    """Until the first byte, as it is to be expected; None: nothing is known, and nobody is finding out."""


IDLE: Final = Load()


class PeakEwma:
    """The average of seconds until the first byte, and the calls that still wait for theirs."""

    __slots__ = ("_at_s", "_began_sum_s", "_value_s", "waiting")

    def __init__(self) -> None:
        self._value_s: float | None = None
        self._at_s = 0.0
        self.waiting = 0
        """Calls without a first byte."""
        self._began_sum_s = 0.0

    def latency_s(self, now_s: float) -> float | None:
        """What the next call has to expect: the faded average, or how long those that wait have waited, if longer."""
        value_s, waiting = self._value_s, self.waiting
        if value_s is None:
            return UNKNOWN_S if waiting else None
        faded_s = value_s * exp(min(0.0, self._at_s - now_s) / FADE_S)
        return max(faded_s, now_s - self._began_sum_s / waiting) if waiting else faded_s

    def begin(self, now_s: float) -> None:
        """A call begins to wait."""
        self.waiting += 1
        self._began_sum_s += now_s

    def end(self, began_s: float, now_s: float, *, answered: bool) -> None:
        """A call has its first byte, or ends without one: then it is known only that it would have taken longer."""
        self.waiting -= 1
        self._began_sum_s = self._began_sum_s - began_s if self.waiting else 0.0
        took_s = now_s - began_s
        value_s = self._value_s
        if value_s is None:
            if answered:
                self._value_s, self._at_s = took_s, now_s
        elif took_s >= value_s:
            self._value_s, self._at_s = took_s, now_s
        elif answered:
            weight = exp(min(0.0, self._at_s - now_s) / FADE_S)
            self._value_s, self._at_s = value_s * weight + took_s * (1.0 - weight), now_s


class Traffic:
    """The calls of one deployment."""

    __slots__ = ("in_flight", "streams", "whole")

    def __init__(self) -> None:
        self.in_flight = 0
        self.streams = PeakEwma()
        """The first bytes of streams."""
        self.whole = PeakEwma()
        """Those of whole answers."""

    def load(self, now_s: float, stream: bool) -> Load:
        """As a call has to expect it that is one of streams, or is not."""
        return Load(self.in_flight, (self.streams if stream else self.whole).latency_s(now_s))
