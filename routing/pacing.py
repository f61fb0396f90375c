"""Lambda: what a dollar of a budget is worth now, so that spending lasts until the window ends. Pure.

The best use of a limited budget is to buy whatever earns more than lambda a dollar, with the one lambda at which the
budget is spent when its window is. Nobody knows that lambda beforehand, so it is steered, as bidders in repeated
auctions do (Balseiro and Gur, "Learning in Repeated Auctions with Budgets: Regret Minimization and Equilibrium",
Management Science 65(9), 2019): it rises while requests cost more than what is left affords, and falls while they cost
less. In logarithms, because nobody knows its order of magnitude either:

    log lambda += gain * (requests / memory) * log(cost of a request / what is left for each request to come)

An error that keeps its sign counts for more and more, so that lambda arrives also where values are so far apart that
requests cost only a little less when it is ten times as high.

What a request costs is averaged over `memory` requests. How many are to come is forecast from those of the window so
far, and of the window before. Because requests are counted and not hours, a night or a weekend does not move lambda.
Lambda is at least 1, for an answer is never worth less than what it earns, and at most `MAX_PRICE`.

Each process counts its own requests and sees everybody's spending: its share of the requests cancels out.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log
from typing import Final

from routing.decision import Budget

MAX_PRICE: Final = 1e9
GAIN: Final = 2.0
"""By how much log lambda follows, in the course of one memory. Small enough not to swing: what requests cost follows
lambda with an elasticity of 0.1 to 0.3 as a rule."""
MEMORY_SHARE: Final = 1 / 40
"""Requests that the average goes back, of those forecast for the window: less than a day of a month."""
MIN_MEMORY: Final = 20.0
SEARCH: Final = 6.0
"""So many times quicker lambda moves until it has first come past the right one."""
HASTEN: Final = 1.0
"""While requests stay too dear, or too cheap, an error counts for more and more: e times so much after 1/`HASTEN` of a
memory. Where values are far apart, what requests cost hardly follows lambda: then it has a long way to go."""
MOST_HASTE: Final = 20.0
"""By so much at most; and no step is larger than without it."""
STEP_REQUESTS: Final = 5
"""Lambda moves after so many requests."""
RESERVE: Final = 0.005
"""Of the budget, which lambda does not plan to spend: more requests than were forecast find it at the window's end."""
_HASTE: Final = 0.25
"""Near the end the average goes back no further than this share of what is to come."""
_LIMIT: Final = 1.0
"""One step's error counts for no more: a factor of e."""
_REST: Final = 1e-4
_ASSUMED_REQUESTS: Final = 1_000.0


class Pacer:
    """Steers one budget's lambda."""

    __slots__ = (
        *("_before", "_cost", "_elapsed", "_haste", "_log_price", "_requests", "_searching", "_spent", "_step"),
        "price",
    )

    def __init__(self, price: float = 1.0) -> None:
        """`price`: what lambda begins with, where it is known from an earlier process."""
        self.price = price
        """Lambda."""
        self._log_price = log(max(1.0, price))
        self._searching = price <= 1.0
        self._elapsed = self._spent = 0.0
        self._requests = self._step = 0
        self._before = 0.0  # requests of the window before
        self._haste = 0.0  # its logarithm; below zero: lambda has been falling
        self._cost: float | None = None  # of a request, as a share of the budget

    def observe(self, spent_share: float, elapsed_share: float) -> float:
        """Count a request that is about to be decided, and tell lambda for it.

        `spent_share`: of the budget's limit, posted and reserved. `elapsed_share`: of its window; where it goes back,
        another window has begun.
        """
        if elapsed_share < self._elapsed:
            self._before = self._requests / max(self._elapsed, _REST)
            self._requests = self._step = 0
            self._spent = spent_share
        self._elapsed = elapsed_share
        self._requests += 1
        self._step += 1
        if self._step >= STEP_REQUESTS:
            self._steer(max(0.0, spent_share - self._spent) / self._step, spent_share)
            self._spent, self._step = spent_share, 0
        return self.price

    def _steer(self, cost: float, spent_share: float) -> None:
        """`cost`: of each of the latest requests, as a share of the budget."""
        forecast = self._forecast()
        to_come = max(1.0, forecast * (1.0 - self._elapsed))
        memory = min(forecast * MEMORY_SHARE / (SEARCH if self._searching else 1.0), to_come * _HASTE)
        memory = max(MIN_MEMORY, memory)
        share = self._step / memory
        known = self._cost
        average = cost if known is None else known + (1.0 - exp(-share)) * (cost - known)
        self._cost = average
        affordable = max(0.0, 1.0 - RESERVE - spent_share) / to_come
        if average <= 0.0 and affordable <= 0.0:
            return
        error = _LIMIT if affordable <= 0.0 else -_LIMIT if average <= 0.0 else log(average / affordable)
        if self._searching and error < 0.0 and self._log_price > 0.0:
            self._searching = False
        error *= self._hasten(error, share)
        moved = self._log_price + GAIN * share * min(max(error, -_LIMIT), _LIMIT)
        self._log_price = min(max(moved, 0.0), log(MAX_PRICE))
        self.price = exp(self._log_price)

    def _hasten(self, error: float, share: float) -> float:
        """What an error is multiplied by that has had the same sign for long."""
        most = log(MOST_HASTE)
        if error < 0.0:
            self._haste = max(min(self._haste, 0.0) - HASTEN * share, -most)
        else:
            self._haste = min(max(self._haste, 0.0) + HASTEN * share, most)
        return exp(abs(self._haste))

    def _forecast(self) -> float:
        """Requests of the whole window: as it went so far, and at its beginning as the one before went."""
        elapsed, before = self._elapsed, self._before
        so_far = self._requests / max(elapsed, _REST)
        if not before:
            return max(so_far, _ASSUMED_REQUESTS) if elapsed < _REST else so_far
        return elapsed * so_far + (1.0 - elapsed) * before


class Pacers:
    """The lambdas of all budgets of a process. Bounded: what was not asked for longest is forgotten."""

    __slots__ = ("_most", "_pacers")

    def __init__(self, most: int = 4_096) -> None:
        self._most = most
        self._pacers: dict[str, Pacer] = {}
        """In the order in which they were last asked for."""

    def observe(self, budgets: Iterable[Budget]) -> float:
        """Count a request that these budgets cover, and tell lambda for it: that of the budget that is shortest.

        Budgets whose window does not end, and those of one model or provider only, steer nothing.
        """
        price, pacers = 1.0, self._pacers
        for budget in budgets:
            if not _steers(budget):
                continue
            key = budget.key or budget.id
            pacer = pacers.pop(key, None) or Pacer()
            pacers[key] = pacer
            price = max(price, pacer.observe(budget.spent_share, budget.elapsed_share))
        while len(pacers) > self._most:
            del pacers[next(iter(pacers))]
        return price

    def price(self, budgets: Iterable[Budget]) -> float:
        """Lambda as it stands for a request that these budgets cover. Nothing is counted."""
        known = [self._pacers.get(budget.key or budget.id) for budget in budgets if _steers(budget)]
        return max([pacer.price for pacer in known if pacer is not None], default=1.0)


def _steers(budget: Budget) -> bool:
    """Whether a budget covers all of a request, and its window ends."""
    return budget.elapsed_share > 0.0 and not budget.model and not budget.provider
