"""How a rule's candidates are put in order, best first: one function for each strategy. Pure.

`ordered`   as written
`weighted`  by chance, each entry of the rule's `use` as often as its weight says
`cheapest`  by expected cost
`fastest`   by what to expect until the first byte; one of which nothing is known is tried
`value`     by V * p(correct) - lambda * expected cost: see `routing.value`

All of them get entries that pass the gates, and break ties by the order that is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from routing.balance import STRATEGIES as BALANCE
from routing.balance import Member
from routing.pool import Entry, Group
from routing.rules import Strategy
from routing.value import net_value
from routing.weighing import Weighing


class Ordered(NamedTuple):
    """Entries in order, and why the first one is first."""

    entries: list[Entry]
    reason: str
    scores: Sequence[float | None] = ()
    """In the same order; empty: the strategy has none."""
    probability: float = 1.0
    """That the first one came first."""


def order(strategy: Strategy, groups: Sequence[Group], weighing: Weighing, draw: float) -> Ordered:
    """A rule's candidates by its strategy. `groups` has no empty one; `draw` is a number of [0, 1) by chance."""
    if strategy == "weighted":
        return _weighted(groups, draw)
    entries = [entry for group in groups for entry in group.entries]
    if len(entries) == 1 and strategy != "value":
        return Ordered(entries, _SCORED[strategy][1] if strategy in _SCORED else "first")
    if strategy in _SCORED:
        score, reason = _SCORED[strategy]
        return _by_score(entries, [score(entry, weighing) for entry in entries], reason)
    return _by_value(entries, weighing) if strategy == "value" else Ordered(entries, "first")


def _weighted(groups: Sequence[Group], draw: float) -> Ordered:
    places = BALANCE["weighted"].order([Member(group.weight) for group in groups], draw)
    total = sum(group.weight for group in groups)
    first = groups[places[0]]
    entries = [entry for place in places for entry in groups[place].entries]
    return Ordered(entries, "drawn", probability=first.weight / total if total else 1.0)


def _by_score(entries: Sequence[Entry], scores: Sequence[float], reason: str) -> Ordered:
    """The least first."""
    places = sorted(range(len(entries)), key=scores.__getitem__)
    return Ordered([entries[place] for place in places], reason, [scores[place] for place in places])


def _latency_s(entry: Entry, weighing: Weighing) -> float:
    return weighing.latency_s(entry) or 0.0


def _cost_usd(entry: Entry, weighing: Weighing) -> float:
    return weighing.cost_usd(entry)


_SCORED: Final[dict[str, tuple[Callable[[Entry, Weighing], float], str]]] = {
    "cheapest": (_cost_usd, "cheapest"),
    "fastest": (_latency_s, "fastest"),
}


def _by_value(entries: Sequence[Entry], weighing: Weighing) -> Ordered:
    """The most valuable first; what nothing is known of comes last.

    The strong model comes first where the agent declares no value, or where nothing is known of the strong model
    itself: to save is only worth it where one knows what is lost.
    """
    value_usd, money_price = weighing.facts.value_usd, weighing.view.money_price
    strong = strongest(entries, weighing)
    known = [weighing.p_correct(entry) for entry in entries] if value_usd > 0 else [None] * len(entries)
    scores = [
        None if p is None else net_value(value_usd, p, weighing.cost_usd(entry), money_price)
        for entry, p in zip(entries, known, strict=True)
    ]
    places = sorted(range(len(entries)), key=lambda place: _descending(scores[place]))
    reason = "value"
    at = next(place for place, entry in enumerate(entries) if entry is strong)
    if scores[at] is None:
        places.remove(at)
        places.insert(0, at)
        reason = "strong: no value declared" if value_usd <= 0 else "strong: too little known"
    return Ordered([entries[place] for place in places], reason, [scores[place] for place in places])


def _descending(score: float | None) -> tuple[bool, float]:
    return score is None, 0.0 if score is None else -score


def strongest(entries: Sequence[Entry], weighing: Weighing) -> Entry:
    """Of the strongest tier; the dearest where tiers do not tell. The first of equals."""
    top = max(entry.rank for entry in entries)
    best = [entry for entry in entries if entry.rank == top]
    return best[0] if len(best) == 1 or top >= 0 else max(best, key=weighing.cost)
