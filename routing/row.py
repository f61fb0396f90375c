"""Calls that failed one after another. Pure.

Failures end first: a refusal takes milliseconds, an answer a minute. Of a hundred agents that begin together only those
that fail are known of for a while. So a call that is under way counts as one that does not fail, where it began between
the first and the last of the row; else a burst of long answers would take any provider that fails now and then for one
that is down. In an outage hardly any is: what began before the last failure did has failed as well. The row's end
speaks for itself too, so that an outage is not hidden by a failure long before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

OUTWEIGH: Final = 2
"""Failures for each call under way among them: two thirds failed at least. Where one in twenty fails by chance and no
answer has ended, four calls in a million begin such a row of five; with one for one it would be thirty."""
_REMEMBERED: Final = 32
"""Failures whose beginnings are known one by one."""


class Row:
    """Failures that no good end has come between."""

    __slots__ = ("_began_s", "_first_s", "_last_s", "length")

    def __init__(self) -> None:
        self.length = 0
        """Set it to 0 when a call went well."""
        self._first_s = self._last_s = 0.0
        self._began_s: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, began_s: float) -> None:
        """Count the failure of a call that began then."""
        if not self.length:
            self._first_s = self._last_s = began_s
            self._began_s.clear()
        self.length += 1
        self._first_s, self._last_s = min(self._first_s, began_s), max(self._last_s, began_s)
        self._began_s.append(began_s)

    def says(self, enough: int, under_way: Collection[float]) -> bool:
        """Whether there are `enough`, and all, or the last so many, outweigh those under way among them.

        `under_way`: when each of these began.
        """
        if self.length < enough:
            return False
        if self.length >= OUTWEIGH * _among(self._first_s, self._last_s, under_way):
            return True
        latest = list(islice(reversed(self._began_s), enough))
        return len(latest) >= max(enough, OUTWEIGH * _among(min(latest), max(latest), under_way))


def _among(first_s: float, last_s: float, under_way: Iterable[float]) -> int:
    return sum(first_s <= began_s <= last_s for began_s in under_way)
