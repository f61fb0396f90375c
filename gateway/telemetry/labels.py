"""Which values a metric's label may take: ids that the configuration declares, and at most so many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

OTHER = "_other"
"""Stands for every value that has no series of its own."""


class Label:
    """One label of our metrics, shared by all metrics that carry it.

    A value that is not declared becomes `OTHER`, so that no client can make series. The first `max_values` declared
    ones that are seen get series; the rest become `OTHER` and are counted in `overflow`. An id that a reload removed
    keeps its series until a declared one needs the place.
    """

    def __init__(self, name: str, max_values: int, on_evicted: Callable[[str, str], None]) -> None:
        """`on_evicted(label, value)` is called when a removed id gives up its place."""
        self.name = name
        self.max_values = max_values
        self.overflow = 0
        """Events whose value was declared and still became `OTHER`."""
        self._known: frozenset[str] = frozenset()
        self._admitted: set[str] = set()
        self._on_evicted = on_evicted

    def set_known(self, values: Iterable[str]) -> None:
        """Declare the configured ids; takes the place of those declared before."""
        self._known = frozenset(values)

    def value(self, raw: str) -> str:
        """The label's value for `raw`. The empty string, nothing was reached or readable, is always itself."""
        if raw in self._admitted or not raw:
            return raw
        if raw not in self._known:
            return OTHER
        if len(self._admitted) >= self.max_values and not self._make_room():
            self.overflow += 1
            return OTHER
        self._admitted.add(raw)
        return raw

    def admits(self, raw: str) -> bool:
        """Whether `raw` has series of its own, without giving it any."""
        return raw in self._admitted or not raw

    def _make_room(self) -> bool:
        retired = self._admitted - self._known
        if not retired:
            return False
        victim = min(retired)
        self._admitted.discard(victim)
        self._on_evicted(self.name, victim)
        return True
