"""Calls that failed one after another. Pure.

Failures end first: a refusal takes milliseconds, an answer a minute. Of a hundred agents that begin together only those
that fail are known of for a while. So a call that is under way counts as one that does not fail, where it began between
the first and the last of the row; else a burst of long answers would take any provider that fails now and then for one
that is down. In an outage hardly any is: what began before the last failure did has failed as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OUTWEIGH: Final = 2
"""Failures for each call under way among them: two thirds failed at least. Where one in twenty fails by chance and no
answer has ended, four calls in a million begin such a row of five; with one for one it would be thirty."""


class Row:
    """Failures that no good end has come between."""

    __slots__ = ("_first_s", "_last_s", "length")

    def __init__(self) -> None:
        self.length = 0
        """Set it to 0 when a call went well."""
        self._first_s = self._last_s = 0.0

    def add(self, began_s: float) -> None:
        """Count the failure of a call that began then."""
        self._first_s = min(self._first_s, began_s) if self.length else began_s
        self._last_s = max(self._last_s, began_s) if self.length else began_s
        self.length += 1

    def says(self, enough: int, under_way: Iterable[float]) -> bool:
        """Whether there are `enough`, and they outweigh the calls under way among them. Of those, when each began."""
        if self.length < enough:
            return False
        first_s, last_s = self._first_s, self._last_s
        return self.length >= OUTWEIGH * sum(first_s <= began_s <= last_s for began_s in under_way)
