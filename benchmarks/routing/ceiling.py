"""What no router by task can exceed: the best plan for rows whose tasks' own means are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.routing.data import Row
from benchmarks.routing.replay import Belief, Pool, Truth
from benchmarks.routing.targets import WEIGHTS, kept

SAVED: Final = (60, 80)
"""Percent of the strong model's cost: what the goals ask for."""


def by_task(pool: Pool, rows: Sequence[Row], real: Truth) -> dict[str, float]:
    """The share of the strong model's quality that is kept at most, for each of `SAVED`.

    By a plan that knows what each row costs with each model, and how often each model is right in each task of these
    very rows, but nothing of single answers. Between two weights on cost it draws lots.
    """
    tasks, p = np.array([row.agent for row in rows]), np.zeros(real.quality.shape)
    for task in np.unique(tasks):
        p[tasks == task] = real.quality[tasks == task].mean(axis=0)
    plan = Belief(p, real.usd, np.ones(p.shape, bool))
    points = np.array([kept(pool, real, plan.choose(weight)) for weight in (0.0, *WEIGHTS)])
    return {f"quality_if_saved_{percent}": round(_highest(points, percent / 100), 4) for percent in SAVED}


def _highest(points: np.ndarray[tuple[int, int], np.dtype[np.float64]], saved: float) -> float:
    """The highest quality at `saved` of any mix of two points, (saved, quality)."""
    less, more = points[points[:, 0] <= saved], points[points[:, 0] >= saved]
    if not len(more):
        return float("nan")
    if not len(less):
        return float(more[:, 1].max())
    width = np.maximum(more[None, :, 0] - less[:, None, 0], 1e-12)
    share = (saved - less[:, None, 0]) / width
    return float((less[:, None, 1] + share * (more[None, :, 1] - less[:, None, 1])).max())
