from __future__ import annotations

import numpy as np
import pytest

from benchmarks.routing.ceiling import by_task
from benchmarks.routing.data import Row
from benchmarks.routing.replay import ROUTELLM2, Truth


def test_a_plan_by_task_mixes_where_that_is_best() -> None:
    """Of two tasks alike in cost, the cheap model keeps all of one and half of the other."""
    rows = [Row(str(n), "even" if n % 2 else "odd", "", "test", "MIT") for n in range(8)]
    even = np.array([row.bench == "even" for row in rows])
    quality = np.stack((np.where(even, 1.0, np.tile([1.0, 1.0, 0.0, 0.0], 2)), np.ones(8)), axis=1)
    real = Truth(quality, np.tile([0.001, 0.01], (8, 1)))
    ceiling = by_task(ROUTELLM2, rows, real)
    assert ceiling["quality_if_saved_60"] == pytest.approx(1 - 0.25 * (0.6 - 0.45) / 0.45, abs=1e-4)
    assert ceiling["quality_if_saved_80"] == pytest.approx(1 - 0.25 * (0.8 - 0.45) / 0.45, abs=1e-4)
