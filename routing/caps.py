"""Budgets as a backtest keeps them: what each would have spent, window by window, and what would not have fitted. Pure.

The limits are today's. What was spent before the first recorded request is not known, so nothing is refused that the
journal shows to have fitted: a request is denied where it goes beyond the limit and beyond what was really spent by
then. In the same way a request that a budget refused is let in once a policy has saved what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from routing.decision import Budget
from routing.money import NanoUsd
from routing.pacing import Pacers
from routing.recorded import Recorded

Key = tuple[str, str, str]
"""Budget, counter, window."""


class Moment(NamedTuple):
    """Where a moment lies in a budget's windows."""

    window: str
    elapsed_share: float
    """Of the window; 0 where it has no end."""


class Cap(NamedTuple):
    """An enforced budget."""

    id: str
    limit: NanoUsd
    counters: Callable[[Recorded, str, str], Sequence[str]]
    """Which of its counters a request counts in, given a model and a provider; none: it is not covered."""
    moment: Callable[[float], Moment]
    """By Unix time."""
    downgrade: bool = False
    model: str = ""
    """It covers this model only; empty: all."""
    provider: str = ""
    """It covers this provider only; empty: all."""


class Spending:
    """What one world has spent of every cap."""

    def __init__(self, caps: Sequence[Cap]) -> None:
        self._caps = caps
        self._spent: dict[Key, int] = {}
        self._pacers = Pacers(1_000_000)

    def keys(self, row: Recorded, model: str, provider: str) -> list[tuple[Cap, Key]]:
        """The counters that a call counts in."""
        return [
            (cap, (cap.id, counter, cap.moment(row.at_s).window))
            for cap in self._caps
            for counter in cap.counters(row, model, provider)
        ]

    def spent(self, key: Key) -> int:
        """Nano-USD."""
        return self._spent.get(key, 0)

    def post(self, keys: Sequence[tuple[Cap, Key]], cost: int) -> None:
        """Count a call."""
        for _, key in keys:
            self._spent[key] = self._spent.get(key, 0) + cost

    def budgets(self, row: Recorded) -> tuple[Budget, ...]:
        """As the router sees them before the request."""
        found = []
        for cap in self._caps:
            moment = cap.moment(row.at_s)
            for counter in cap.counters(row, cap.model, cap.provider):
                spent = self.spent((cap.id, counter, moment.window))
                share = spent / cap.limit if cap.limit else 1.0
                found.append(
                    Budget(
                        cap.id,
                        NanoUsd(cap.limit - spent),
                        share,
                        moment.elapsed_share,
                        cap.downgrade,
                        cap.model,
                        cap.provider,
                        f"{cap.id}|{counter}",
                    )
                )
        return tuple(found)

    def money_price(self, budgets: Sequence[Budget]) -> float:
        """Lambda for a request that is about to be decided and that `budgets` cover."""
        return self._pacers.observe(budgets)


def denied(keys: Sequence[tuple[Cap, Key]], cost: int, here: Spending, today: Spending) -> bool:
    """Whether a call that was answered would not have fitted. `today` has counted the recorded one already."""
    return any(cost + here.spent(key) > max(cap.limit, today.spent(key)) for cap, key in keys)


def let_in(keys: Sequence[tuple[Cap, Key]], cost: int, here: Spending, today: Spending) -> bool:
    """Whether a call that a budget refused would fit after what was saved since."""
    saved = any(here.spent(key) < today.spent(key) for _, key in keys)
    return saved and all(
        cost + here.spent(key) <= (today.spent(key) if cost + today.spent(key) > cap.limit else cap.limit)
        for cap, key in keys
    )
