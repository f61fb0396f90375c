"""How long answers usually become, by agent and model: what a model is expected to cost depends on it. Bounded.

A mean, since expected costs are; what reservations are made of is a high quantile (`gateway.learned`), and that stands
in as long as there is no mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.learned.expectations import START, Expectation

KEPT: Final = 4_096
"""Pairs of agent and model. The ones that were seen first are forgotten first."""
MEMORY: Final = 32
"""About so many answers count."""


class Lengths:
    """Of all agents and models that were routed here."""

    def __init__(self, expect: Callable[[str, str], Expectation]) -> None:
        self._expect = expect
        self._means: dict[tuple[str, str], tuple[int, float]] = {}

    def of(self, agent: str, model: str) -> float | None:
        """The mean length in tokens of one answer; None when nothing is known."""
        known = self._means.get((agent, model))
        if known is not None:
            return known[1]
        expected = self._expect(agent, model)
        return None if expected == START else float(expected.output_tokens)

    def observe(self, agent: str, model: str, output_tokens: float) -> None:
        """Learn from one answer."""
        key = (agent, model)
        count, mean = self._means.get(key, (0, 0.0))
        count = min(count + 1, MEMORY)
        if len(self._means) >= KEPT and key not in self._means:
            del self._means[next(iter(self._means))]
        self._means[key] = (count, mean + (output_tokens - mean) / count)
