from __future__ import annotations

import numpy as np
import pytest

from benchmarks.routing.apgr import apgr


def test_believing_nothing_is_a_random_mix() -> None:
    assert apgr(np.array([1.0, 0.0, 1.0, 0.0]), np.zeros(4)) == pytest.approx(0.5)


def test_knowing_all_is_best_and_the_reverse_is_worst() -> None:
    gains = np.array([1.0, 1.0, 0.0, 0.0])
    assert apgr(gains, gains) == pytest.approx(0.75)
    assert apgr(gains, -gains) == pytest.approx(0.25)


def test_losses_can_be_avoided() -> None:
    gains = np.array([1.0, 1.0, -1.0, 0.0])
    assert apgr(gains, gains) > 1


def test_order_among_equals_does_not_matter() -> None:
    believed = np.array([1.0, 1.0, 0.0, 0.0])
    assert apgr(np.array([1.0, 0.0, 0.0, 1.0]), believed) == apgr(np.array([0.0, 1.0, 1.0, 0.0]), believed)
