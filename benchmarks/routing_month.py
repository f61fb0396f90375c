"""A month on a budget: the `value` strategy with pacing beside fixed thresholds, over simulated agents.

    python -m benchmarks.routing_month --json
    python -m benchmarks.routing_month --recorded            # months of recorded answers, too
    python -m benchmarks.routing_month --requests 10000 --months 1   # quicker, as a table

Forty agents declare values from $0.01 to $50,000 for a right answer (log-normal); the budget is 60% of what the strong
model would cost for all of them. Traffic has working hours, weekends, growth, and a campaign's day. `value` decides
with `routing.router`, learns from one outcome in ten with `routing.quality` (after an evaluation of each model and
agent), and takes its lambda from `routing.pacing`. Nothing of it knows the month beforehand.

The others are given what `value` spent, and hindsight: their thresholds are the best ones for the month as it went.
`complexity_threshold`: the strong model where the request looks hard, else the light one, as routers by complexity do.
`complexity_two_thresholds`: medium between the two. `value_threshold`, `value_two_thresholds`: the same by the declared
value; they differ from `value` in that they know the month, and neither costs nor agents. `random_mix`: light and
strong by chance. Without hindsight, given the whole budget: `..._set_beforehand`, the threshold that was right for the
first week; when the money is spent, requests are refused.

`oracle` knows each model's probability for each request, and the right lambda: nothing can be better but by luck.
`attainable_over_...` is the oracle's advantage over each of the others, so the most that any strategy could gain;
`attained_share` is the share of the oracle's value that `value` delivers.

`value_usd` is the sum over all requests of the declared value times the probability that the model which answered is
right: the expectation of V * correct, so that the luck of single answers, some worth $50,000, does not decide. A
request that nobody answered because the budget was spent earns nothing. `gain_over_...` is `value`'s advantage over
each; `days_of_refusals` are days on which more than 1% of requests were refused. What there is to gain depends on how
often the light model is right: `--easy-share` is the share of agents with whose work it does about as well as the
strong one. `--recorded` adds months of recorded answers (`benchmarks.routing_month_recorded`), where `right` is what
was recorded, and the oracle knows how often each model is right with each agent in that month, but not what the text
tells of single requests.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.routing_month_policies import (
    REFUSED_SHARE,
    Result,
    arrays,
    foresight,
    one_threshold,
    random_mix,
    set_beforehand,
    two_thresholds,
)
from benchmarks.routing_month_recorded import month as recorded_month
from benchmarks.routing_month_recorded import read
from benchmarks.routing_month_traffic import DAYS, EASY_SHARE, Asked, World, month
from routing.decision import NO_FACTS, Budget, View, Wanted
from routing.money import NANO_PER_USD, NanoUsd
from routing.pacing import Pacer
from routing.quality import MIN_OUTCOMES, Quality
from routing.router import Router
from routing.rules import CompiledPolicy, Rule, Tier

BUDGET_SHARE: Final = 0.6
FEEDBACK: Final = 0.1
"""Of answers, whose outcome is heard of."""
_DATA = Path(__file__).parents[2] / "shared" / "routing_data"

Json = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing_month", description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--requests", type=int, default=30_000, help="in a month (30000)")
    parser.add_argument("--months", type=int, default=5, help="independent months, with other agents in each (5)")
    parser.add_argument("--easy-share", type=float, default=EASY_SHARE, help=f"of agents ({EASY_SHARE})")
    parser.add_argument("--seed", type=int, default=1, help="of the first month (1)")
    parser.add_argument("--recorded", type=Path, nargs="?", const=_DATA, help="months of replay tables (folder), too")
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + options.months)
    report = summary([figures(month(seed, options.requests, options.easy_share), seed) for seed in seeds])
    reports = {"": report}
    for pool in [] if options.recorded is None else read(options.recorded):
        months = [figures(recorded_month(pool, seed, options.requests), seed) for seed in seeds]
        reports[pool.pool.table] = summary(months)
    if options.json:
        recorded = {name: each for name, each in reports.items() if name}
        json.dump(report | ({"recorded": recorded} if recorded else {}), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        for name, each in reports.items():
            show(each, name)
    return 0


# --- the value strategy ---


def by_value(world: World, budget_usd: float, seed: int) -> Result:
    """The month as the router decides it, request by request."""
    chance, pacer, quality = Random(seed), Pacer(), world.evaluated()
    router = Router(_policy(world), world.catalog)
    spent = worth = 0.0
    refused, by_day, requests = Counter[int](), Counter[int](), Counter[int]()
    for each in world.asked:
        day = int(each.at * DAYS)
        requests[day] += 1
        left = NanoUsd(int((budget_usd - spent) * NANO_PER_USD))
        price = pacer.observe(spent / budget_usd, each.at)
        view = View(
            output_tokens=world.output_tokens,
            budgets=(Budget("month", left, downgrade=True),),
            money_price=price,
            quality=_opinion(quality, each),
        )
        decision = router.decide(_wanted(each), view)
        at = world.models.index(decision.models[0].name)
        if each.cost_usd[at] > budget_usd - spent:
            refused[day] += 1
            continue
        spent += each.cost_usd[at]
        by_day[day] += int(each.cost_usd[at] * NANO_PER_USD)
        worth += each.value_usd * each.right[at]
        if chance.random() < FEEDBACK:
            score = float(each.luck < each.right[at]) if each.luck else each.right[at]
            quality.learn(each.agent, world.models[at], each.signals, score)
    bad = sum(1 for day, count in refused.items() if count > REFUSED_SHARE * requests[day])
    return Result(worth, spent, sum(refused.values()), bad, max(by_day.values()) / NANO_PER_USD / budget_usd)


def _policy(world: World) -> CompiledPolicy:
    """Every model may answer; the strong one is the strongest tier."""
    strong = world.models[world.ladder[-1]]
    tiers = (Tier("others", tuple(name for name in world.models if name != strong)), Tier("strong", (strong,)))
    return CompiledPolicy(
        "month", tiers, (), Rule("default", None, world.models, "value"), frozenset(("auto",)), {}, {}
    )


def _wanted(each: Asked) -> Wanted:
    facts = NO_FACTS._replace(agent=each.agent, model="auto", value_usd=each.value_usd, input_tokens=each.input_tokens)
    return Wanted(facts)


def _opinion(quality: Quality, each: Asked) -> Callable[[str, str], float | None]:
    agent, signals = each.agent, each.signals

    def p_correct(model: str, _tier: str) -> float | None:
        return quality.p(agent, model, signals) if quality.outcomes(agent, model) >= MIN_OUTCOMES else None

    return p_correct


# --- figures ---


def figures(world: World, seed: int) -> Json:
    """One month."""
    table = arrays(world)
    strong = world.ladder[-1]
    strong_usd = float(table.cost[:, strong].sum())
    budget_usd = BUDGET_SHARE * strong_usd
    value = by_value(world, budget_usd, seed)
    others = {
        "complexity_threshold": one_threshold(table, table.seen, value.spent_usd),
        "value_threshold": one_threshold(table, table.value, value.spent_usd),
        "random_mix": random_mix(table, value.spent_usd),
    }
    if len(world.ladder) == 3:
        others["complexity_two_thresholds"] = two_thresholds(table, table.seen, value.spent_usd)
        others["value_two_thresholds"] = two_thresholds(table, table.value, value.spent_usd)
    beforehand = {
        "complexity_threshold_set_beforehand": set_beforehand(table, table.seen, budget_usd),
        "value_threshold_set_beforehand": set_beforehand(table, table.value, budget_usd),
    }
    others |= beforehand
    oracle = foresight(table, table.known, value.spent_usd)
    return {
        "requests": len(world.asked),
        "budget_usd": budget_usd,
        "spent_share": value.spent_usd / budget_usd,
        "refused_share": value.refused / len(world.asked),
        "days_of_refusals": value.days_of_refusals,
        "busiest_day_share": value.busiest_day_share,
        "value_usd": value.value_usd,
        "strong_value_usd": float(table.worth[:, strong].sum()),
        "light_value_usd": float(table.worth[:, world.ladder[0]].sum()),
        **{f"gain_over_{name}": value.value_usd / other.value_usd - 1 for name, other in others.items()},
        "gain_over_oracle": value.value_usd / oracle.value_usd - 1,
        "attained_share": value.value_usd / oracle.value_usd,
        **{f"attainable_over_{name}": oracle.value_usd / other.value_usd - 1 for name, other in others.items()},
        **{f"{name}_spent_share": other.spent_usd / budget_usd for name, other in beforehand.items()},
        **{f"{name}_days_of_refusals": other.days_of_refusals for name, other in beforehand.items()},
    }


def summary(months: Sequence[Json]) -> Json:
    """The means of all months, and the least and the most of each figure."""
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


def show(report: Mapping[str, Any], name: str) -> None:
    """Print the table."""
    title = f"{report['months']} months of {report['requests']} requests" + (f", recorded: {name}" if name else "")
    table = Table("figure", "mean", "least", "most", title=title)
    for figure, value in report.items():
        if isinstance(value, dict):
            is_share = figure.startswith(("gain", "attainable")) or figure.endswith("share")
            table.add_row(figure, *(f"{value[key]:.2%}" if is_share else f"{value[key]:,.2f}" for key in value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
