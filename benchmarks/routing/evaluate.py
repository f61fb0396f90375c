"""The benchmark's figures: each pool's savings at its targets, RouteLLM's APGR, and a task that nobody has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.routing.apgr import apgr
from benchmarks.routing.ceiling import by_task
from benchmarks.routing.data import Row
from benchmarks.routing.replay import Choice, Matrix, Pool, Router, Truth, truth, without_text
from benchmarks.routing.targets import TARGETS, curve, kept, weight_for

RESAMPLES: Final = 1_000
Json = dict[str, Any]
Signals = Sequence[Sequence[float]]


class Known(NamedTuple):
    """A table's rows, each with its signals: of training rows by weights that never saw their questions."""

    train: Sequence[Row]
    train_signals: Signals
    test: Sequence[Row]
    test_signals: Signals


class Routed(NamedTuple):
    """A router, and for each target the weight on cost that was chosen on the training rows."""

    router: Router
    weights: Mapping[int, float]


def routed(pool: Pool, train: Sequence[Row], signals: Signals) -> Routed:
    """Learn from the training rows, and choose the weights there."""
    points = curve(pool, train, signals)
    weights = {target: weight_for(points, target / 100) for target in TARGETS}
    return Routed(Router.learned(pool, train, signals), weights)


def pool_figures(pool: Pool, known: Known) -> Json:
    """What the router saves, and the baselines beside it."""
    real = truth(pool, known.test)
    with_text = routed(pool, known.train, known.train_signals)
    table = routed(pool, known.train, without_text(known.train))
    figures: Json = {"test_rows": len(known.test)}
    figures |= _figures(pool, real, _choices(with_text, known.test, known.test_signals))
    figures["task_table"] = _figures(pool, real, _choices(table, known.test, without_text(known.test)))
    figures["random_mix"] = _random_mix(pool, truth(pool, known.train), real)
    figures["oracle"] = _figures(pool, real, dict.fromkeys(TARGETS, _oracle(pool, real)))
    figures["foresight_by_task"] = by_task(pool, known.test, real)
    figures["cheapest_only"] = _shares(pool, real, _only(real, pool.models.index(pool.cheap)))
    return figures


def _choices(known: Routed, rows: Sequence[Row], signals: Signals) -> dict[int, Choice]:
    belief = known.router.belief(rows, signals)
    strong = known.router.pool.strong_index
    return {
        target: belief.choose(weight) if weight >= 0 else np.full(len(rows), strong)
        for target, weight in known.weights.items()
    }


def _figures(pool: Pool, real: Truth, choices: Mapping[int, Choice]) -> Json:
    figures: Json = {}
    for target, chosen in choices.items():
        for name, value in _shares(pool, real, chosen).items():
            measure, _, interval = name.partition("_")
            figures["_".join(filter(None, (measure, "at", str(target), interval)))] = value
    return figures


def _shares(pool: Pool, real: Truth, chosen: Choice) -> Json:
    """Saved and kept shares, with 95% intervals by bootstrap over rows."""
    saved, quality = kept(pool, real, chosen)
    drawn = resampled(len(chosen), lambda rows: kept(pool, Truth(real.quality[rows], real.usd[rows]), chosen[rows]))
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    return {
        "saved": round(saved, 4),
        "saved_interval": [round(float(low[0]), 4), round(float(high[0]), 4)],
        "quality": round(quality, 4),
        "quality_interval": [round(float(low[1]), 4), round(float(high[1]), 4)],
    }


def resampled(size: int, measure: Callable[[Choice], Sequence[float]]) -> Matrix:
    """`measure` of rows that are drawn with replacement, `RESAMPLES` times; seeded."""
    chance = np.random.default_rng(20261121)
    return np.array([measure(chance.integers(0, size, size)) for _ in range(RESAMPLES)])


def _only(real: Truth, model: int) -> Choice:
    return np.full(len(real.quality), model)


def _oracle(pool: Pool, real: Truth) -> Choice:
    """The cheapest model that does as well as the strong one, row by row, knowing all answers."""
    enough = real.quality >= real.quality[:, [pool.strong_index]]
    chosen: Choice = np.where(enough, real.usd, np.inf).argmin(axis=1)
    return chosen


def _random_mix(pool: Pool, train: Truth, test: Truth) -> Json:
    """Cheap or strong by lot, in shares set on the training rows: what it is expected to save and keep on test."""
    cheap = pool.models.index(pool.cheap)
    loss = 1 - kept(pool, train, _only(train, cheap))[1]
    saved, quality = kept(pool, test, _only(test, cheap))
    figures: Json = {}
    for target in TARGETS:
        share = min(1.0, (1 - target / 100) / loss) if loss > 0 else 1.0
        figures[f"saved_at_{target}"] = round(share * saved, 4)
        figures[f"quality_at_{target}"] = round(1 - share * (1 - quality), 4)
    return figures


def routellm_figures(pool: Pool, known: Known) -> Json:
    """APGR on RouteLLM's own data, MMLU by subject as the agent, and GSM8K."""
    figures: Json = {"test_rows": len(known.test), "random_mix": {}, "task_table": {}, "oracle": {}}
    real = truth(pool, known.test)
    gains = real.quality[:, pool.strong_index] - real.quality[:, 1 - pool.strong_index]
    believed = {
        "": _gain(pool, known.train, known.train_signals, known.test, known.test_signals),
        "task_table": _gain(pool, known.train, without_text(known.train), known.test, without_text(known.test)),
        "oracle": gains,
    }
    for bench in ("mmlu", "gsm8k"):
        inside = np.array([row.bench == bench for row in known.test])
        for name, gain in believed.items():
            target = figures[name] if name else figures
            target[f"apgr_{bench}"], target[f"apgr_{bench}_interval"] = _apgr(gains[inside], gain[inside])
        figures["random_mix"][f"apgr_{bench}"] = 0.5
    return figures


def _gain(pool: Pool, train: Sequence[Row], signals: Signals, test: Sequence[Row], test_signals: Signals) -> Matrix:
    """How much better the strong model is believed to be."""
    believed = Router.learned(pool, train, signals).belief(test, test_signals).p
    gain: Matrix = believed[:, pool.strong_index] - believed[:, 1 - pool.strong_index]
    return gain


def _apgr(gains: Matrix, believed: Matrix) -> tuple[float, list[float]]:
    drawn = resampled(len(gains), lambda rows: (apgr(gains[rows], believed[rows]),))
    low, high = np.percentile(drawn, (2.5, 97.5))
    return round(apgr(gains, believed), 4), [round(float(low), 4), round(float(high), 4)]


def unseen_figures(pools: Mapping[str, tuple[Pool, Known]]) -> Json:
    """Each task left out of the records in turn, then routed at 99%: thin evidence means the strong model."""
    names = [("", True), ("without_abstaining", False)]
    totals: dict[str, Matrix] = {name: np.zeros(4) for name, _ in names}
    for pool, known in pools.values():
        weight = routed(pool, known.train, known.train_signals).weights[99]
        for agent in sorted({row.agent for row in known.test}):
            for name, abstains in names:
                totals[name] += _left_out(pool, known, agent, weight, abstains=abstains)
    shares = {}
    for name, (quality, strong_quality, usd, strong_usd) in totals.items():
        shares[name] = {"quality": round(quality / strong_quality, 4), "saved": round(1 - usd / strong_usd, 4)}
    figures: Json = shares.pop("")
    return figures | shares


def _left_out(pool: Pool, known: Known, agent: str, weight: float, *, abstains: bool) -> Matrix:
    """Quality and cost of a task's test rows: a router's that never heard of the task, and the strong model's."""
    others = [index for index, row in enumerate(known.train) if row.agent != agent]
    own = [index for index, row in enumerate(known.test) if row.agent == agent]
    signals = [known.train_signals[each] for each in others]
    router = Router.learned(pool, [known.train[each] for each in others], signals)
    rows = [known.test[each] for each in own]
    belief = router.belief(rows, [known.test_signals[each] for each in own])
    if not abstains:
        belief = belief._replace(allowed=np.ones_like(belief.allowed))
    strong = pool.strong_index
    chosen = belief.choose(weight) if weight >= 0 else np.full(len(rows), strong)
    real = truth(pool, rows)
    at = np.arange(len(rows))
    quality, usd = real.quality[at, chosen].sum(), real.usd[at, chosen].sum()
    return np.array((quality, real.quality[:, strong].sum(), usd, real.usd[:, strong].sum()))
