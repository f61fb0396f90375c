"""A month on a budget: the `value` strategy with pacing beside fixed thresholds, over simulated agents.

    python -m benchmarks.routing_month --json
    python -m benchmarks.routing_month --requests 10000 --months 1   # quicker, as a table

Forty agents declare values from $0.01 to $50,000 for a right answer (log-normal); the budget is 60% of what the strong
model would cost for all of them. `value` decides with `routing.router`, learns from one outcome in ten with
`routing.quality` (after `EVALUATED` outcomes of each model and agent from an evaluation), and takes its lambda from
`routing.pacing`. Nothing of it knows the month beforehand.

The others are given what `value` spent, and hindsight: their thresholds are the best ones for the month as it went.
`complexity_threshold`: the strong model where the request looks hard, else the light one, as routers by complexity do.
`complexity_two_thresholds`: medium between the two. `value_two_thresholds`: the same by the declared value; it differs
from `value` in that it knows the month, and neither costs nor agents. `random_mix`: light and strong by chance.
`oracle` knows each model's probability for each request, and the right lambda.

`value_usd` is the sum over all requests of the declared value times the probability that the model which answered is
right: the expectation of V * correct, so that the luck of single answers, some worth $50,000, does not decide. A
request that nobody answered because the budget was spent earns nothing. `gain_over_...` is `value`'s advantage over
each; `days_of_refusals` are days on which more than 1% of requests were refused. What there is to gain depends on how
often the light model is right: `--easy-share` is the share of agents with whose work it does about as well as the
strong one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from math import exp, log
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.routing_month_traffic import DAYS, EASY_SHARE, MODELS, PRICES, Agent, Asked, month
from gateway.pricing.override import compile_override
from routing.catalog import Catalog, Deployment, Model
from routing.decision import NO_FACTS, Budget, View, Wanted
from routing.money import NANO_PER_USD, NanoUsd
from routing.pacing import Pacer
from routing.quality import MIN_OUTCOMES, Quality
from routing.router import Router
from routing.rules import CompiledPolicy, Rule, Tier

BUDGET_SHARE: Final = 0.6
EVALUATED: Final = 40
"""Outcomes of each model with each agent that are known when the month begins."""
FEEDBACK: Final = 0.1
"""Of answers, whose outcome is heard of."""
REFUSED_SHARE: Final = 0.01
_STEPS: Final = 200

Json = dict[str, Any]
Floats = npt.NDArray[np.float64]


class Result(NamedTuple):
    """How a month went."""

    value_usd: float
    spent_usd: float
    refused: int = 0
    days_of_refusals: int = 0
    busiest_day_share: float = 0.0
    """Of the money."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing_month", description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--requests", type=int, default=30_000, help="in a month (30000)")
    parser.add_argument("--months", type=int, default=5, help="independent months, with other agents in each (5)")
    parser.add_argument("--easy-share", type=float, default=EASY_SHARE, help=f"of agents ({EASY_SHARE})")
    parser.add_argument("--seed", type=int, default=1, help="of the first month (1)")
    options = parser.parse_args(argv)
    months = [
        figures(month(options.seed + number, options.requests, options.easy_share), options.seed)
        for number in range(options.months)
    ]
    report = summary(months)
    if options.json:
        json.dump(report, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show(report)
    return 0


# --- the value strategy ---


def by_value(asked: Sequence[Asked], budget_usd: float, seed: int) -> Result:
    """The month as the router decides it, request by request."""
    chance, pacer, quality = Random(seed), Pacer(), Quality()
    router = Router(_policy(), _catalog())
    for agent in {each.agent.name: each.agent for each in asked}.values():
        _evaluate(quality, agent, chance)
    spent = worth = 0.0
    refused, by_day, requests = Counter[int](), Counter[int](), Counter[int]()
    for each in asked:
        day = int(each.at * DAYS)
        requests[day] += 1
        left = NanoUsd(int((budget_usd - spent) * NANO_PER_USD))
        price = pacer.observe(spent / budget_usd, each.at)
        view = View(
            output_tokens=lambda _agent, _model, each=each: each.agent.output_tokens,  # type: ignore[misc]  # bound here
            budgets=(Budget("month", left, downgrade=True),),
            money_price=price,
            quality=_opinion(quality, each),
        )
        decision = router.decide(_wanted(each), view)
        at = MODELS.index(decision.models[0].name)
        if each.cost_usd[at] > budget_usd - spent:
            refused[day] += 1
            continue
        spent += each.cost_usd[at]
        by_day[day] += int(each.cost_usd[at] * NANO_PER_USD)
        worth += each.value_usd * each.right[at]
        if chance.random() < FEEDBACK:
            quality.learn(each.agent.name, MODELS[at], _signals(each.seen), float(each.luck < each.right[at]))
    bad = sum(1 for day, count in refused.items() if count > REFUSED_SHARE * requests[day])
    return Result(worth, spent, sum(refused.values()), bad, max(by_day.values()) / NANO_PER_USD / budget_usd)


def _catalog() -> Catalog:
    models = {}
    for name, (rate, answer) in PRICES.items():
        price = compile_override({"input": f"{rate}", "output": f"{answer}"}, name)
        models[name] = Model(name, (Deployment(f"simulated/{name}", "simulated", name, price),))
    return Catalog(models)


def _policy() -> CompiledPolicy:
    tiers = tuple(Tier(name, (name,)) for name in MODELS)
    rule = Rule("default", None, MODELS, "value")
    return CompiledPolicy("month", tiers, (), rule, frozenset(("auto",)), {}, {})


def _wanted(each: Asked) -> Wanted:
    name = each.agent.name
    facts = NO_FACTS._replace(agent=name, model="auto", value_usd=each.value_usd, input_tokens=each.input_tokens)
    return Wanted(facts)


def _signals(seen: float) -> tuple[float, float, float, float]:
    """As `routing.complexity` gives them: each tier's log odds, and the gain from a stronger model."""
    return -seen, 1.0 - seen, 2.0 - seen, seen


def _opinion(quality: Quality, each: Asked) -> Callable[[str, str], float | None]:
    name, signals = each.agent.name, _signals(each.seen)

    def p_correct(model: str, _tier: str) -> float | None:
        return quality.p(name, model, signals) if quality.outcomes(name, model) >= MIN_OUTCOMES else None

    return p_correct


def _evaluate(quality: Quality, agent: Agent, chance: Random) -> None:
    for name, skill in zip(MODELS, agent.skills, strict=True):
        for _ in range(EVALUATED):
            difficulty = chance.gauss(0, 1)
            right = chance.random() < 1 / (1 + exp(difficulty - skill))
            quality.learn(agent.name, name, _signals(0.4 * difficulty + 0.9 * chance.gauss(0, 1)), float(right))


# --- what it is compared with ---


class Arrays(NamedTuple):
    """A month as arrays: a row for each request, a column for each model."""

    cost: Floats
    worth: Floats
    seen: Floats
    value: Floats


def _arrays(asked: Sequence[Asked]) -> Arrays:
    value = np.array([each.value_usd for each in asked])
    right = np.array([each.right for each in asked])
    return Arrays(
        np.array([each.cost_usd for each in asked]),
        right * value[:, None],
        np.array([each.seen for each in asked]),
        value,
    )


def one_threshold(arrays: Arrays, key: Floats, spend_usd: float) -> Result:
    """The strong model above a fixed threshold on `key`, else the light one: the most that this money pays for."""
    cost, worth = _summed(arrays, key)
    spends = cost[:, 2] + cost[-1, 0] - cost[:, 0]
    at = int(np.flatnonzero(spends <= spend_usd)[-1])
    return Result(float(worth[at, 2] + worth[-1, 0] - worth[at, 0]), float(spends[at]))


def two_thresholds(arrays: Arrays, key: Floats, spend_usd: float) -> Result:
    """The best pair of fixed thresholds on `key`, with the medium model between them."""
    cost, worth = _summed(arrays, key)
    last, best = len(key), Result(0.0, 0.0)
    for upper in np.linspace(0, last, _STEPS + 1, dtype=int):  # so many have the strong model
        spends = cost[upper, 2] + cost[:, 1] - cost[upper, 1] + cost[last, 0] - cost[:, 0]
        fits = np.flatnonzero((spends <= spend_usd) & (np.arange(last + 1) >= upper))
        if len(fits):
            worths = worth[upper, 2] + worth[:, 1] - worth[upper, 1] + worth[last, 0] - worth[:, 0]
            at = fits[np.argmax(worths[fits])]
            if worths[at] > best.value_usd:
                best = Result(float(worths[at]), float(spends[at]))
    return best


def _summed(arrays: Arrays, key: Floats) -> tuple[Floats, Floats]:
    """Cost and worth of the first so many requests, those with the highest key first."""
    order, none = np.argsort(-key), np.zeros((1, len(MODELS)))
    cost, worth = (np.vstack((none, np.cumsum(each[order], axis=0))) for each in (arrays.cost, arrays.worth))
    return cost, worth


def random_mix(table: Arrays, spend_usd: float) -> Result:
    """Light and strong by chance, as often as the money allows."""
    cost, worth = table.cost.sum(axis=0), table.worth.sum(axis=0)
    share = min(1.0, max(0.0, (spend_usd - cost[0]) / (cost[2] - cost[0])))
    return Result(float(worth[0] + share * (worth[2] - worth[0])), float(cost[0] + share * (cost[2] - cost[0])))


def oracle(table: Arrays, spend_usd: float) -> Result:
    """With the true probabilities, and the lambda that spends just that."""
    low, high, best = 0.0, log(1e9), Result(0.0, 0.0)
    rows = np.arange(len(table.value))
    for _ in range(60):
        at = (low + high) / 2
        chosen = np.argmax(table.worth - exp(at) * table.cost, axis=1)
        spent = float(table.cost[rows, chosen].sum())
        if spent <= spend_usd:
            high, best = at, Result(float(table.worth[rows, chosen].sum()), spent)
        else:
            low = at
    return best


# --- figures ---


def figures(asked: Sequence[Asked], seed: int) -> Json:
    """One month."""
    table = _arrays(asked)
    strong_usd = float(table.cost[:, 2].sum())
    budget_usd = BUDGET_SHARE * strong_usd
    value = by_value(asked, budget_usd, seed)
    others = {
        "complexity_threshold": one_threshold(table, table.seen, value.spent_usd),
        "complexity_two_thresholds": two_thresholds(table, table.seen, value.spent_usd),
        "value_threshold": one_threshold(table, table.value, value.spent_usd),
        "value_two_thresholds": two_thresholds(table, table.value, value.spent_usd),
        "random_mix": random_mix(table, value.spent_usd),
        "oracle": oracle(table, value.spent_usd),
    }
    return {
        "requests": len(asked),
        "budget_usd": budget_usd,
        "spent_share": value.spent_usd / budget_usd,
        "refused_share": value.refused / len(asked),
        "days_of_refusals": value.days_of_refusals,
        "busiest_day_share": value.busiest_day_share,
        "value_usd": value.value_usd,
        "strong_value_usd": float(table.worth[:, 2].sum()),
        "light_value_usd": float(table.worth[:, 0].sum()),
        **{f"gain_over_{name}": value.value_usd / other.value_usd - 1 for name, other in others.items()},
    }


def summary(months: Sequence[Json]) -> Json:
    """The means of all months, the least and the most of each, and the goals."""
    names = [name for name in months[0] if name != "requests"]
    figure = {
        name: {
            "mean": sum(each[name] for each in months) / len(months),
            "least": min(each[name] for each in months),
            "most": max(each[name] for each in months),
        }
        for name in names
    }
    return {"months": len(months), "requests": months[0]["requests"], **figure}


def show(report: Json) -> None:
    """Print the table."""
    table = Table(
        "figure", "mean", "least", "most", title=f"{report['months']} months of {report['requests']} requests"
    )
    for name, value in report.items():
        if isinstance(value, dict):
            is_share = name.startswith("gain") or name.endswith("share")
            table.add_row(name, *(f"{value[key]:.2%}" if is_share else f"{value[key]:,.2f}" for key in value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
