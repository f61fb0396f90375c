"""How long another model's answer would have become, by what was recorded of both. Pure.

An agent that had enough answers of two models says how their lengths compare, for itself. Of the others the agents that
did say so speak, each by its weight. Where nobody knows, the other model's answer counts as long as the recorded one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from routing.recorded import Recorded

ENOUGH: Final = 20
"""So many answers of an agent by a model, and their mean length counts."""
MOST: Final = 8.0
"""A ratio beyond this, or below its inverse, is cut to it."""


class Length(NamedTuple):
    """An assumed length."""

    tokens: int
    learned: bool
    """By a ratio; else it is the recorded one."""


class Lengths:
    """Mean lengths of answers by agent and model, and what follows from them."""

    def __init__(self, rows: Iterable[Recorded] = ()) -> None:
        sums: dict[tuple[str, str], tuple[int, int]] = {}
        for row in rows:
            if row.outcome == "ok" and row.model and row.usage.output_tokens:
                count, tokens = sums.get((row.agent, row.model), (0, 0))
                sums[row.agent, row.model] = (count + 1, tokens + row.usage.output_tokens)
        self._means: dict[str, dict[str, tuple[int, float]]] = {}
        for (agent, model), (count, tokens) in sums.items():
            if count >= ENOUGH:
                self._means.setdefault(agent, {})[model] = (count, tokens / count)
        self._pooled: dict[tuple[str, str], float | None] = {}

    def ratio(self, agent: str, used: str, other: str) -> float | None:
        """How long `other`'s answers to the agent are, of `used`'s; None when nothing is known."""
        if used == other:
            return 1.0
        of_agent = self._means.get(agent, {})
        if used in of_agent and other in of_agent:
            return _bounded(of_agent[other][1] / of_agent[used][1])
        pair = (used, other)
        if pair not in self._pooled:
            self._pooled[pair] = self._pool(used, other)
        return self._pooled[pair]

    def _pool(self, used: str, other: str) -> float | None:
        """The geometric mean of the agents' ratios, each weighed by the answers that it rests on."""
        weighed = total = 0.0
        for means in self._means.values():
            if used in means and other in means:
                weight = 1 / (1 / means[used][0] + 1 / means[other][0])
                weighed += weight * math.log(means[other][1] / means[used][1])
                total += weight
        return _bounded(math.exp(weighed / total)) if total else None

    def assumed(self, row: Recorded, model: str) -> Length:
        """How long `model`'s answer to a recorded request counts: no longer than the request allows."""
        recorded = row.usage.output_tokens
        ratio = self.ratio(row.agent, row.model, model)
        if ratio is None or not recorded:
            return Length(recorded, learned=False)
        tokens = max(1, round(recorded * ratio))
        bound = row.profile.max_output_tokens
        if bound:
            tokens = min(tokens, max(recorded, bound * row.profile.answers))
        return Length(tokens, learned=True)

    def usual(self, agent: str, model: str) -> int | None:
        """The mean length of the model's answers to the agent, else to all agents; None when nothing is known."""
        mean = self._means.get(agent, {}).get(model)
        if mean is not None:
            return round(mean[1])
        known = [means[model] for means in self._means.values() if model in means]
        count = sum(each[0] for each in known)
        return round(sum(each[0] * each[1] for each in known) / count) if count else None


def _bounded(ratio: float) -> float:
    return min(MOST, max(1 / MOST, ratio))
