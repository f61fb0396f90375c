from __future__ import annotations

import numpy as np

from benchmarks.routing.solver import Design, Vector, design, linear, logistic

ROWS, WIDTH = 60, 8


def small() -> tuple[Design, Vector, Vector]:
    chance = np.random.default_rng(3)
    dense = chance.normal(size=(ROWS, 3))
    buckets = [chance.integers(0, WIDTH, chance.integers(1, 6)) for _ in range(ROWS)]
    matrix = design(dense, buckets, WIDTH)
    full = np.zeros((ROWS, WIDTH))
    for row, each in enumerate(buckets):
        np.add.at(full[row], each, 1 / len(each) ** 0.5)
    return matrix, np.hstack((dense, full)), chance.uniform(size=ROWS)


def test_products_are_those_of_the_full_matrix() -> None:
    matrix, full, target = small()
    weights = np.arange(11.0)
    assert matrix.size == 11
    assert np.allclose(matrix.times(weights), full @ weights)
    assert np.allclose(matrix.transposed_times(target), full.T @ target)


def test_rows_can_be_taken_and_columns_put_beside() -> None:
    matrix, full, target = small()
    some = target > 0.5
    part = matrix.take(some).beside(np.ones((some.sum(), 1)))
    assert np.allclose(part.times(np.arange(12.0)), np.hstack((np.ones((some.sum(), 1)), full[some])) @ np.arange(12.0))


def test_logistic_regression_is_solved() -> None:
    matrix, full, target = small()
    penalty = np.linspace(0.1, 2, 11)
    weights = logistic(matrix, target, penalty, 1e-9)
    p = 1 / (1 + np.exp(-full @ weights))
    assert np.abs(full.T @ (p - target) + penalty * weights).max() < 1e-8


def test_linear_regression_is_solved() -> None:
    matrix, full, target = small()
    penalty = np.linspace(0.1, 2, 11)
    weights = linear(matrix, target, penalty, 1e-9)
    assert np.allclose(weights, np.linalg.solve(full.T @ full + np.diag(penalty), full.T @ target), atol=1e-8)
