"""What `benchmarks.routing_month` compares the `value` strategy with: fixed thresholds, chance, and foresight."""

from __future__ import annotations

from math import exp, log
from typing import Final, NamedTuple

import numpy as np

from benchmarks.routing_month_traffic import DAYS, Floats, World

FIRST_WEEK: Final = 7 / DAYS
REFUSED_SHARE: Final = 0.01
"""Of a day's requests: with more of them refused it is a day of refusals."""
_STEPS: Final = 200


class Result(NamedTuple):
    """How a month went."""

    value_usd: float
    spent_usd: float
    refused: int = 0
    days_of_refusals: int = 0
    busiest_day_share: float = 0.0
    """Of the money."""


class Arrays(NamedTuple):
    """A month as arrays: a row for each request in their order, a column for each model."""

    at: Floats
    cost: Floats
    worth: Floats
    """The value times the probability of a right answer."""
    known: Floats
    """What of `worth` an all-knowing planner could know beforehand."""
    seen: Floats
    value: Floats
    ladder: tuple[int, ...]


def arrays(world: World) -> Arrays:
    """A world as arrays."""
    asked = world.asked
    value = np.array([each.value_usd for each in asked])
    return Arrays(
        np.array([each.at for each in asked]),
        np.array([each.cost_usd for each in asked]),
        np.array([each.right for each in asked]) * value[:, None],
        np.array([each.known for each in asked]) * value[:, None],
        np.array([each.seen for each in asked]),
        value,
        world.ladder,
    )


def one_threshold(month: Arrays, key: Floats, spend_usd: float) -> Result:
    """The strong model above a fixed threshold on `key`, else the light one: the most that this money pays for."""
    light, strong = month.ladder[0], month.ladder[-1]
    cost, worth = _summed(month, key)
    spends = cost[:, strong] + cost[-1, light] - cost[:, light]
    at = _most_that_fits(spends, spend_usd)
    return Result(float(worth[at, strong] + worth[-1, light] - worth[at, light]), float(spends[at]))


def two_thresholds(month: Arrays, key: Floats, spend_usd: float) -> Result:
    """The best pair of fixed thresholds on `key`, with the medium model between them."""
    light, medium, strong = month.ladder
    cost, worth = _summed(month, key)
    last, best = len(key), Result(0.0, 0.0)
    for upper in np.linspace(0, last, _STEPS + 1, dtype=int):  # so many have the strong model
        spends = cost[upper, strong] + cost[:, medium] - cost[upper, medium] + cost[last, light] - cost[:, light]
        fits = np.flatnonzero((spends <= spend_usd) & (np.arange(last + 1) >= upper))
        if len(fits):
            worths = worth[upper, strong] + worth[:, medium] - worth[upper, medium] + worth[last, light]
            worths = worths - worth[:, light]
            at = fits[np.argmax(worths[fits])]
            if worths[at] > best.value_usd:
                best = Result(float(worths[at]), float(spends[at]))
    return best


def set_beforehand(month: Arrays, key: Floats, budget_usd: float) -> Result:
    """A threshold on `key` that was right for the first week, kept all month; what the money does not pay is refused.

    Right: the week's share of the budget is spent in it.
    """
    light, strong = month.ladder[0], month.ladder[-1]
    week = month.at < FIRST_WEEK
    first = month._replace(cost=month.cost[week], worth=month.worth[week])
    cost, _ = _summed(first, key[week])
    at = _most_that_fits(cost[:, strong] + cost[-1, light] - cost[:, light], budget_usd * FIRST_WEEK)
    threshold = np.sort(key[week])[::-1][at - 1] if at else np.inf
    model = np.where(key >= threshold, strong, light)
    rows = np.arange(len(key))
    answered, spent_usd = _until_spent(month.cost[rows, model], budget_usd)
    days = (month.at * DAYS).astype(int)
    requests, refused = np.bincount(days, minlength=DAYS), np.bincount(days[~answered], minlength=DAYS)
    bad = int((refused > REFUSED_SHARE * requests).sum())
    return Result(float(month.worth[rows, model][answered].sum()), spent_usd, int((~answered).sum()), bad)


def random_mix(month: Arrays, spend_usd: float) -> Result:
    """Light and strong by chance, as often as the money allows."""
    light, strong = month.ladder[0], month.ladder[-1]
    cost, worth = month.cost.sum(axis=0), month.worth.sum(axis=0)
    share = min(1.0, max(0.0, (spend_usd - cost[light]) / (cost[strong] - cost[light])))
    value_usd, spent_usd = (float(of[light] + share * (of[strong] - of[light])) for of in (worth, cost))
    return Result(value_usd, spent_usd)


def foresight(month: Arrays, known: Floats, spend_usd: float) -> Result:
    """All models, by what is `known` of each answer's worth, and the one lambda that spends just that.

    No plan that knows no more is worth more: this is the optimum of the knapsack, but for its last request.
    """
    low, high, best = log(1e-9), log(1e9), Result(0.0, 0.0)
    rows = np.arange(len(month.value))
    for _ in range(80):
        at = (low + high) / 2
        chosen = np.argmax(known - exp(at) * month.cost, axis=1)
        spent = float(month.cost[rows, chosen].sum())
        if spent <= spend_usd:
            high, best = at, Result(float(month.worth[rows, chosen].sum()), spent)
        else:
            low = at
    return best


def _summed(month: Arrays, key: Floats) -> tuple[Floats, Floats]:
    """Cost and worth of the first so many requests, those with the highest key first."""
    order, none = np.argsort(-key, kind="stable"), np.zeros((1, month.cost.shape[1]))
    cost, worth = (np.vstack((none, np.cumsum(each[order], axis=0))) for each in (month.cost, month.worth))
    return cost, worth


def _most_that_fits(spends: Floats, spend_usd: float) -> int:
    fits = np.flatnonzero(spends <= spend_usd)
    return int(fits[-1]) if len(fits) else 0


def _until_spent(cost: Floats, budget_usd: float) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], float]:
    """Which requests are answered when each is refused that costs more than is left; and what they cost."""
    answered, spent = np.zeros(len(cost), bool), 0.0
    for row, usd in enumerate(cost.tolist()):
        if usd <= budget_usd - spent:
            answered[row] = True
            spent += usd
    return answered, spent
