"""What the weight on cost has to be for a target: the share of the strong model's quality that is to be kept.

The weight is found on the training rows alone, by cross validation: the router that routes a row has not learned from
it. Of the weights whose quality is above the target even when `CAUTION` standard errors are taken off, the one that
saves most is taken. When there is none, every request goes to the strong model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.routing.data import Row, folds
from benchmarks.routing.replay import Belief, Choice, Pool, Router, Truth, truth

TARGETS: Final = (95, 99, 100)
"""Percent of the strong model's quality."""
CAUTION: Final = 1.17
"""Standard errors between the quality that is promised and the one that was seen in training.

So many that three of four further samples of half the size keep the target: 0.674 errors of the difference between such
a sample and the training rows, whose variance is three times that of the training rows alone.
"""
_FOLDS: Final = 5
_REPEATS: Final = 10
WEIGHTS: Final = tuple(10 ** (exponent / 25) for exponent in range(-25, 126))
"""On cost, in right answers for a dollar."""


class Point(NamedTuple):
    """What a weight on cost leads to."""

    usd_weight: float
    saved: float
    """Share of what the strong model would have cost."""
    quality: float
    """Share of the strong model's quality."""
    error: float
    """Standard error of `quality`."""


def kept(pool: Pool, real: Truth, chosen: Choice) -> tuple[float, float]:
    """What a choice saved, and the quality that it kept, both as shares of the strong model's."""
    rows = np.arange(len(chosen))
    strong = pool.strong_index
    saved = 1 - real.usd[rows, chosen].sum() / real.usd[:, strong].sum()
    return float(saved), float(real.quality[rows, chosen].sum() / real.quality[:, strong].sum())


def crossed(pool: Pool, rows: Sequence[Row], signals: Sequence[Sequence[float]], seed: int) -> Belief:
    """What routers think of rows that they have not learned from."""
    fold = folds(rows, _FOLDS, seed + 1)
    size = (len(rows), len(pool.models))
    p, usd, allowed = np.zeros(size), np.zeros(size), np.zeros(size, bool)
    for each in range(_FOLDS):
        inside = [index for index, place in enumerate(fold) if place != each]
        outside = [index for index, place in enumerate(fold) if place == each]
        router = Router.learned(pool, [rows[index] for index in inside], [signals[index] for index in inside])
        belief = router.belief([rows[index] for index in outside], [signals[index] for index in outside])
        p[outside], usd[outside], allowed[outside] = belief
    return Belief(p, usd, allowed)


def curve(pool: Pool, rows: Sequence[Row], signals: Sequence[Sequence[float]]) -> list[Point]:
    """What each weight leads to on training rows, cross validated, averaged over several foldings."""
    real = truth(pool, rows)
    beliefs = [crossed(pool, rows, signals, seed) for seed in range(_REPEATS)]
    return [_point(pool, real, beliefs, usd_weight) for usd_weight in WEIGHTS]


def _point(pool: Pool, real: Truth, beliefs: Sequence[Belief], usd_weight: float) -> Point:
    rows = np.arange(len(real.quality))
    strong = real.quality[:, pool.strong_index]
    points = []
    for belief in beliefs:
        chosen = belief.choose(usd_weight)
        saved, quality = kept(pool, real, chosen)
        rest = real.quality[rows, chosen] - quality * strong
        points.append((saved, quality, rest.std() * len(rows) ** 0.5 / strong.sum()))
    saved, quality, error = np.array(points).mean(axis=0).tolist()
    return Point(usd_weight, saved, quality, error)


def weight_for(points: Sequence[Point], target: float, caution: float = CAUTION) -> float:
    """The weight on cost that saves most while it keeps `target`, a share, with caution; below zero when none does.

    Below zero means: always the strong model.
    """
    enough = [point for point in points if point.quality - caution * point.error >= target and point.saved > 0]
    return max(enough, key=lambda point: point.saved).usd_weight if enough else -1.0
