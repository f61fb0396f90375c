"""From recorded rows to the complexity model's weights: each tier's log odds, and what a stronger model gains.

A task tells more than words, and the gateway knows it as the agent. So the gain is learned within tasks: what is left
of the difference between a strong and a light model when the task's own mean is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.routing.data import Row, digest, folds, request_of, training_rows
from benchmarks.routing.solver import Design, Vector, design, linear, logistic
from routing.complexity import FEATURES, HEADS, TIERS, features
from routing.weights import Header, Weights

VERSION: Final = "2026-11-21.2"
BUCKETS: Final = 1 << 15
FOLDS: Final = 5
EXACT: Final = 1e-8
"""Shipped weights are solved until rounding to bytes gives the same ones on every machine."""
_ROUGH = 0.05
_DENSE_PENALTY = 3.0
_HASHED_PENALTY = 1.0
_FREE = 1e-3
_GAIN_PENALTY = 10.0
_GAIN_SCALE = 15.0
"""Puts the gain's head on the scale of the log odds."""
_TASK_PRIOR = 5.0
"""How many rows the assumption counts for that a task's mean gain is nothing."""
_TIER_OF: Final = {
    "gemma-2-9b-it": 0,
    "llama-3.1-8b-instruct": 0,
    "qwen2.5-7b-instruct": 0,
    "mistral-7b-instruct-v0.3": 0,
    "gpt-3.5-turbo-0125": 0,
    "claude-3-haiku-20240307": 0,
    "mixtral-8x7b": 0,
    "gpt-4o-mini-2024-07-18": 1,
    "llama-3.1-nemotron-51b-instruct": 1,
    "llama-3.3-nemotron-super-49b-v1": 1,
    "gpt-4o-2024-05-13": 2,
    "gpt-4o-2024-08-06": 2,
    "claude-3-5-sonnet-20240620": 2,
    "claude-3-opus-20240229": 2,
    "gpt-4-1106-preview": 2,
}
"""Models that are left out are too weak for their size or their price to stand for a tier."""


class Lesson(NamedTuple):
    """Rows as the solver reads them."""

    rows: Sequence[Row]
    dense: Vector
    """N x F, before scaling."""
    buckets: list[npt.NDArray[np.int64]]
    tiers: Vector
    """N x 3: the mean quality of the tier's models; NaN where the row has none."""

    def take(self, chosen: npt.NDArray[np.bool_]) -> Lesson:
        """Some rows."""
        kept = [index for index, take in enumerate(chosen) if take]
        return Lesson(
            [self.rows[index] for index in kept],
            self.dense[chosen],
            [self.buckets[index] for index in kept],
            self.tiers[chosen],
        )


def lesson(rows: Sequence[Row]) -> Lesson:
    """Read the rows as the gateway would, and put their outcomes beside."""
    seen = [features(request_of(row)) for row in rows]
    buckets = [(each.buckets & np.uint32(BUCKETS - 1)).astype(np.int64) for each in seen]
    return Lesson(rows, np.array([each.dense for each in seen]), buckets, np.array([_tier_means(row) for row in rows]))


def _tier_means(row: Row) -> list[float]:
    of_tier: list[list[float]] = [[] for _ in TIERS]
    for name, outcome in row.outcomes.items():
        if name in _TIER_OF:
            of_tier[_TIER_OF[name]].append(outcome.q)
    return [sum(each) / len(each) if each else float("nan") for each in of_tier]


def learn(taken: Lesson, enough: float = EXACT) -> Weights:
    """Weights from all of `taken`, no further off than `enough`."""
    means, deviations = taken.dense.mean(axis=0), taken.dense.std(axis=0) + 1e-6
    matrix = design((taken.dense - means) / deviations, taken.buckets, BUCKETS)
    heads = [_tier_head(matrix, taken.tiers[:, tier], enough) for tier in range(len(TIERS))]
    table = np.array([*heads, _gain_head(matrix, taken, enough)])
    count = len(FEATURES)
    header = Header(VERSION, digest(taken.rows), len(taken.rows), FEATURES, HEADS, BUCKETS)
    hashed = np.ascontiguousarray(table[:, 1 + count :].T).astype(np.float32)
    return Weights(header, means, deviations, table[:, 0], table[:, 1 : 1 + count], hashed)


def _tier_head(matrix: Design, quality: Vector, enough: float) -> Vector:
    known = ~np.isnan(quality)
    part = matrix.take(known)
    part = part.beside(np.ones((len(part.dense), 1)))
    return logistic(part, quality[known], _penalty(part, _DENSE_PENALTY, _HASHED_PENALTY), enough)


def _gain_head(matrix: Design, taken: Lesson, enough: float) -> Vector:
    light, medium, strong = taken.tiers.T
    gain = np.where(np.isnan(strong), medium, strong) - light
    known = ~np.isnan(gain)
    tasks = np.array([row.agent for row in taken.rows])[known]
    within = _GAIN_SCALE * _less_the_tasks(gain[known], tasks)
    part = matrix.take(known)
    part = part.beside(np.ones((len(part.dense), 1)))
    return linear(part, within, _penalty(part, _GAIN_PENALTY, _GAIN_PENALTY), enough)


def _less_the_tasks(gain: Vector, tasks: npt.NDArray[np.str_]) -> Vector:
    """What is left of each row's gain when its task's mean, drawn towards nothing, is taken off."""
    left = gain.copy()
    for task in np.unique(tasks):
        own = tasks == task
        left[own] -= gain[own].sum() / (own.sum() + _TASK_PRIOR)
    return left


def _penalty(part: Design, dense: float, hashed: float) -> Vector:
    own = np.full(part.dense.shape[1], dense)
    own[0] = _FREE
    return np.concatenate((own, np.full(part.width, hashed)))


def fold_of(rows: Sequence[Row]) -> list[int]:
    """Which of `learn_folds` never saw each row's question."""
    return folds(rows, FOLDS)


def learn_folds(rows: Sequence[Row]) -> list[Weights]:
    """For each fold weights that were learned without it: they stand in for weights that were there before the rows."""
    taken = lesson(training_rows(rows))
    fold = np.array(fold_of(taken.rows))
    return [learn(taken.take(fold != each), _ROUGH) for each in range(FOLDS)]
