"""From recorded rows to the complexity model's weights: each tier's log odds, and the gain from a stronger model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.routing.data import Row, digest, folds, request_of, training_rows
from benchmarks.routing.solver import Design, Vector, design, least_squares, logistic
from routing.complexity import FEATURES, TIERS, features
from routing.weights import Header, Weights

VERSION: Final = "2026-11-21"
BUCKETS: Final = 1 << 15
FOLDS: Final = 5
EXACT: Final = 1e-8
"""Shipped weights are solved until rounding to bytes gives the same ones on every machine."""
_ROUGH = 0.05
_DENSE_PENALTY = 3.0
_HASHED_PENALTY = 1.0
_GAIN_PENALTIES = (50.0, 3.0)
_FREE = 1e-3
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
    heads.append(_gain_head(matrix, taken, enough))
    table = np.array(heads)
    count = len(FEATURES)
    header = Header(VERSION, digest(taken.rows), len(taken.rows), FEATURES, (*TIERS, "gain"), BUCKETS)
    hashed = np.ascontiguousarray(table[:, 1 + count :].T).astype(np.float32)
    return Weights(header, means, deviations, table[:, 0], table[:, 1 : 1 + count], hashed)


def _tier_head(matrix: Design, quality: Vector, enough: float) -> Vector:
    known = ~np.isnan(quality)
    part = matrix.take(known)
    part = part.beside(np.ones((len(part.dense), 1)))
    return logistic(part, quality[known], _penalty(part, 1, _DENSE_PENALTY, _HASHED_PENALTY), enough)


def _gain_head(matrix: Design, taken: Lesson, enough: float) -> Vector:
    """What a stronger model adds beyond what it adds for the same task on average: tasks have their own intercepts."""
    strongest = np.where(np.isnan(taken.tiers[:, 2]), taken.tiers[:, 1], taken.tiers[:, 2])
    gain = strongest - taken.tiers[:, 0]
    tasks = {agent: column for column, agent in enumerate(sorted({row.agent for row in taken.rows}))}
    own = np.zeros((len(gain), len(tasks)))
    own[np.arange(len(gain)), [tasks[row.agent] for row in taken.rows]] = 1.0
    known = ~np.isnan(gain)
    part = matrix.beside(own).take(known)
    weights = least_squares(part, gain[known], _penalty(part, len(tasks), *_GAIN_PENALTIES), enough)
    return np.concatenate(([0.0], weights[len(tasks) :]))


def _penalty(part: Design, free: int, dense: float, hashed: float) -> Vector:
    own = part.dense.shape[1]
    return np.concatenate((np.full(free, _FREE), np.full(own - free, dense), np.full(part.width, hashed)))


class Held(NamedTuple):
    """Weights for each fold, learned without it."""

    weights: list[Weights]

    def of(self, rows: Sequence[Row]) -> list[Weights]:
        """For each row the weights that never saw its question."""
        return [self.weights[fold] for fold in folds(rows, FOLDS)]


def learn_all(rows: Sequence[Row]) -> tuple[Weights, Held]:
    """The weights from all rows that may be learned from, and those of each fold."""
    taken = lesson(training_rows(rows))
    fold = np.array(folds(taken.rows, FOLDS))
    return learn(taken), Held([learn(taken.take(fold != each), _ROUGH) for each in range(FOLDS)])
