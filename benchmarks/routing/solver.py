"""Penalised regression on a few dense and many hashed features, in numpy alone: Newton's method, conjugate gradients.

The problems are strictly convex, and solved until nothing moves: the result does not depend on the order of the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


class Design(NamedTuple):
    """A matrix: dense columns, then hashed ones, kept row by row without their zeros."""

    dense: Vector
    """N x D."""
    lengths: npt.NDArray[np.int64]
    """How many hashed entries each row has, N; one at least."""
    columns: npt.NDArray[np.int64]
    values: Vector
    width: int
    """How many hashed columns there are."""

    @property
    def size(self) -> int:
        """All columns."""
        return int(self.dense.shape[1]) + self.width

    def take(self, rows: npt.NDArray[np.bool_]) -> Design:
        """Some rows."""
        entries = np.repeat(rows, self.lengths)
        return Design(self.dense[rows], self.lengths[rows], self.columns[entries], self.values[entries], self.width)

    def beside(self, dense: Vector) -> Design:
        """More dense columns, in front."""
        return self._replace(dense=np.hstack((dense, self.dense)))

    def times(self, weights: Vector) -> Vector:
        """The matrix by a vector of columns."""
        own = self.dense.shape[1]
        starts = np.cumsum(self.lengths) - self.lengths
        hashed = np.add.reduceat(self.values * weights[own:][self.columns], starts)
        total: Vector = np.einsum("ij,j->i", self.dense, weights[:own]) + hashed
        return total

    def transposed_times(self, rows: Vector) -> Vector:
        """Its transpose by a vector of rows."""
        products = self.values * np.repeat(rows, self.lengths)
        hashed = np.bincount(self.columns, products, self.width)
        return np.concatenate((np.einsum("ij,i->j", self.dense, rows), hashed))


def design(dense: Vector, buckets: list[npt.NDArray[np.int64]], width: int) -> Design:
    """Dense columns, and those that each row's hashed features fall into, scaled by the root of the row's features."""
    columns, values = [], []
    for row in buckets:
        column, count = np.unique(row, return_counts=True)
        columns.append(column)
        values.append(count / len(row) ** 0.5)
    lengths = np.array([len(column) for column in columns], np.int64)
    return Design(dense, lengths, np.concatenate(columns), np.concatenate(values), width)


def logistic(matrix: Design, target: Vector, penalty: Vector, enough: float) -> Vector:
    """Weights of the logistic regression of `target` (0..1), each squared weight penalised by half of `penalty`.

    Done when no entry of the gradient is larger than `enough`: with penalties of 1 and more no weight is off by more.
    """
    weights = np.zeros(matrix.size)
    for _ in range(40):
        p = 1 / (1 + np.exp(-matrix.times(weights)))
        gradient = matrix.transposed_times(p - target) + penalty * weights
        largest = float(np.abs(gradient).max())
        if largest < enough:
            break
        weights -= _solved(matrix, p * (1 - p), penalty, gradient, min(1e-2, largest / 100))
    return weights


def linear(matrix: Design, target: Vector, penalty: Vector, enough: float) -> Vector:
    """Weights of the linear regression of `target`, each squared weight penalised by half of `penalty`.

    Done when no entry of the gradient is larger than `enough`.
    """
    weights, alike = np.zeros(matrix.size), np.ones(len(target))
    for _ in range(40):
        gradient = matrix.transposed_times(matrix.times(weights) - target) + penalty * weights
        largest = float(np.abs(gradient).max())
        if largest < enough:
            break
        weights -= _solved(matrix, alike, penalty, gradient, min(1e-2, enough / largest / 10))
    return weights


def _solved(matrix: Design, curvature: Vector, penalty: Vector, right: Vector, precision: float) -> Vector:
    """The solution of (A' diag(curvature) A + diag(penalty)) x = right, by preconditioned conjugate gradients."""
    nearly_inverse = _preconditioner(matrix, curvature, penalty)
    x = np.zeros(len(right))
    residual = right.copy()
    step = nearly_inverse(residual)
    direction, size = step.copy(), float(residual @ step)
    small = precision**2 * size
    for _ in range(1_000):
        if size <= small:
            break
        product = matrix.transposed_times(curvature * matrix.times(direction)) + penalty * direction
        length = size / (direction @ product)
        x += length * direction
        residual -= length * product
        step = nearly_inverse(residual)
        before, size = size, float(residual @ step)
        direction = step + size / before * direction
    return x


def _preconditioner(matrix: Design, curvature: Vector, penalty: Vector) -> Callable[[Vector], Vector]:
    """The inverse of the dense columns' block, and of the hashed columns' diagonal."""
    own = matrix.dense.shape[1]
    weighted = matrix.dense * curvature[:, None]
    block = np.linalg.inv(np.einsum("ni,nj->ij", weighted, matrix.dense) + np.diag(penalty[:own]))
    squares = matrix.values**2 * np.repeat(curvature, matrix.lengths)
    diagonal = np.bincount(matrix.columns, squares, matrix.width) + penalty[own:]

    def nearly_inverse(vector: Vector) -> Vector:
        return np.concatenate((block @ vector[:own], vector[own:] / diagonal))

    return nearly_inverse
