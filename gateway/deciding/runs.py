"""What this process has seen of runs: what they cost, how many steps they took, how deep they lie. Bounded.

Conditions read it. What a run may spend the store knows; here a run that is spread over several gateways, or older than
the process, looks younger than it is.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from routing.money import NANO_PER_USD, NanoUsd

KEPT_RUNS: Final = 20_000
DEEPEST: Final = 32
"""Ancestors of a run that its cost is added to."""


class Run:
    """One run, as far as it is known here."""

    __slots__ = ("cost", "depth", "parent", "steps", "too_quick_until_s")

    def __init__(self, parent: str | None = None, depth: int = 0) -> None:
        self.parent = parent
        self.depth = depth
        """0 for a root."""
        self.cost = NanoUsd(0)
        """Of its requests and those of its sub-runs."""
        self.steps = 0
        """Its own requests that have ended."""
        self.too_quick_until_s = 0.0
        """Until then, Unix time, it counts as spending too quickly."""

    @property
    def cost_usd(self) -> float:
        """The cost, for conditions."""
        return self.cost / NANO_PER_USD


NO_RUN: Final = Run()
"""Of a request without one. Never changed."""


class Runs:
    """The runs that this gateway's requests named, the latest of them."""

    def __init__(self, most: int = KEPT_RUNS) -> None:
        self._most = most
        self._known: OrderedDict[str, Run] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, run: str | None, parent: str | None = None) -> Run:
        """A run by its id, `agent/run`; new ones are remembered from now on."""
        if run is None:
            return NO_RUN
        known = self._known.get(run)
        if known is None:
            above = None if parent is None else self.of(parent)
            known = self._known[run] = Run(parent, 0 if above is None else above.depth + 1)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return known

    def seen(self, run: str | None, parent: str | None = None) -> Run:
        """The same, for who only looks: nothing is remembered of a run that was not known."""
        if run is None:
            return NO_RUN
        known = self._known.get(run)
        return known or Run(parent, 0 if parent is None else self.seen(parent).depth + 1)

    def ended(self, run: str | None, cost: NanoUsd) -> None:
        """A request of the run has ended."""
        if run is None:
            return
        known: Run | None = self.of(run)
        assert known is not None  # noqa: S101 -- it was named
        self._known.move_to_end(run)
        known.steps += 1
        for _ in range(DEEPEST):
            known.cost = NanoUsd(known.cost + cost)
            if known.parent is None or (known := self._known.get(known.parent)) is None:
                return
