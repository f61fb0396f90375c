"""A month for `benchmarks.routing_month` that asks what was really answered: recorded answers of several models.

The agents are the tables' tasks, the requests their test rows, drawn again and again; what a model's answer costs and
whether it is right is what was recorded. What is known when the month begins comes from the training rows, with scores
by weights that never saw their questions. Declared values and the month's traffic are made up as in the other month.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import numpy as np

from benchmarks.routing.data import Row, read_tables, request_of
from benchmarks.routing.learning import fold_of, learn_folds
from benchmarks.routing.replay import LLMROUTER9, POOL7, Pool, prices_of
from benchmarks.routing_month_traffic import Asked, World, catalog_of, times_of, usual_value_usd, value_usd
from routing.catalog import Catalog
from routing.complexity import Complexity, Scorer
from routing.quality import Quality
from routing.weights import shipped

POOLS: Final = (POOL7, LLMROUTER9)
_NOTHING: Final = 0.0


class Recorded(NamedTuple):
    """A pool's rows with their scores, read once for all months."""

    pool: Pool
    train: Sequence[Row]
    train_scores: Sequence[Complexity]
    test: Sequence[Row]
    test_scores: Sequence[Complexity]
    catalog: Catalog

    def evaluated(self) -> Quality:
        """What is known when a month begins."""
        quality = Quality()
        for row, score in zip(self.train, self.train_scores, strict=True):
            for model in self.pool.models:
                quality.learn(row.agent, model, score.signals, row.outcomes[model].q)
        return quality


def read(folder: Path) -> list[Recorded]:
    """The pools of the replay tables in `folder`."""
    tables = read_tables(folder)
    scorer, held = Scorer(shipped()), [Scorer(each) for each in learn_folds(tables.rows)]
    pools = []
    for pool in POOLS:
        train, test = tables.of(pool.table, "train"), tables.of(pool.table, "test")
        unseen = [held[fold].score(request_of(row)) for row, fold in zip(train, fold_of(train), strict=True)]
        catalog = _catalog(pool, train)
        pools.append(Recorded(pool, train, unseen, test, [scorer.score(request_of(row)) for row in test], catalog))
    return pools


def month(recorded: Recorded, seed: int, requests: int) -> World:
    """A month of requests drawn from the test rows: an agent by its traffic, then one of its rows."""
    chance, pool = Random(seed), recorded.pool
    names = sorted({row.agent for row in recorded.test})
    rows = {name: [place for place, row in enumerate(recorded.test) if row.agent == name] for name in names}
    usual = {name: usual_value_usd(chance) for name in names}
    traffic = [chance.lognormvariate(0, 1) for _ in names]
    known = {name: _means(recorded, places) for name, places in rows.items()}
    asked = []
    for at in sorted(times_of(chance, requests)):
        (name,) = chance.choices(names, traffic)
        place = chance.choice(rows[name])
        asked.append(_asked(recorded, place, at, value_usd(usual[name], chance), known[name]))
    lengths = _lengths(recorded)
    ladder = (pool.models.index(pool.cheap), pool.strong_index)
    return World(pool.models, ladder, recorded.catalog, asked, lambda *pair: lengths.get(pair), recorded.evaluated)


def _catalog(pool: Pool, rows: Sequence[Row]) -> Catalog:
    prices = prices_of(pool, rows) * 1e6
    return catalog_of(
        {name: (_usd(rate), _usd(answer)) for name, (rate, answer) in zip(pool.models, prices, strict=True)}
    )


def _usd(price: float) -> float:
    return max(_NOTHING, round(float(price), 6))


def _asked(recorded: Recorded, place: int, at: float, value: float, known: tuple[float, ...]) -> Asked:
    row, score, pool = recorded.test[place], recorded.test_scores[place], recorded.pool
    outcomes = [row.outcomes[model] for model in pool.models]
    right, cost_usd = tuple(each.q for each in outcomes), tuple(each.usd for each in outcomes)
    input_tokens = int(outcomes[pool.strong_index].input)
    return Asked(at, row.agent, value, input_tokens, score.complexity, score.signals, right, known, cost_usd, 0.0)


def _means(recorded: Recorded, places: Sequence[int]) -> tuple[float, ...]:
    """How often each model is right with an agent in this very month: the best that its record could become."""
    scores = [[recorded.test[place].outcomes[model].q for model in recorded.pool.models] for place in places]
    return tuple(np.array(scores).mean(axis=0).tolist())


def _lengths(recorded: Recorded) -> dict[tuple[str, ...], float]:
    """Output tokens of each agent's usual answer by each model."""
    found: dict[tuple[str, ...], list[float]] = {}
    for row in recorded.train:
        for model in recorded.pool.models:
            found.setdefault((row.agent, model), []).append(row.outcomes[model].out)
    return {pair: sum(each) / len(each) for pair, each in found.items()}
