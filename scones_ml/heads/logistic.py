"""Multinomial logistic regression on feature vectors, by L-BFGS; numpy only.

scikit-learn's gives the same coefficients but needs SciPy, three times the size of all other dependencies
(``benchmarks/photographs.py`` compares both).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scones_ml.heads.coordinates import Coordinates, coordinates
from scones_ml.heads.whitening import Chunk, whitening

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.heads.coordinates import Rows

__all__ = ["Linear", "balanced", "fit_logistic", "fit_within"]

_AT_A_TIME: Final = 1_024  # rows of a chunk
_IN_MEMORY: Final = 128_000_000  # bytes of features kept in memory; more are read from disk at each step
_ITERATIONS, _REMEMBERED = 200, 8
_TOLERANCE: Final = 1e-3  # relative to the first gradient; predictions no longer change


@dataclass(frozen=True, eq=False)
class Linear:
    """Logits as a linear function of features.

    Attributes:
        weight: float32 (D, K).
        bias: float32 (K,).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, K) of features (N, D)."""
        return features @ self.weight + self.bias


def balanced(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Sample weights (N,) of sum 1, with equal total weight for every class."""
    counts = np.bincount(labels, minlength=classes)
    return np.asarray(1 / (np.count_nonzero(counts) * counts[labels]))


def fit_logistic(rows: Rows, which: NDArray[np.int64], labels: NDArray[np.int64], classes: int, l2: float) -> Linear:
    """Minimise the class-balanced mean log loss plus ``l2 / 2`` times the squared weights.

    The penalty applies to the weights of whitened features (:mod:`scones_ml.heads.whitening`); the returned weights are
    those of the original features.

    Args:
        rows: feature vectors.
        which: (N,) indices of the training images.
        labels: (N,) classes, 0..K-1.
        classes: K, at least 2.
        l2: L2 penalty, above 0; the bias is not penalised.
    """
    space = coordinates(rows, which)
    linear = fit_within(space, np.arange(len(which)), labels, classes, l2)
    return Linear(space.back(linear.weight), linear.bias)


def fit_within(
    space: Coordinates, which: NDArray[np.int64], labels: NDArray[np.int64], classes: int, l2: float
) -> Linear:
    """Fit in coordinates: weights (R, K), which :meth:`Coordinates.back` maps to those of the features."""
    problem = _Problem(space, which, labels, classes, l2)
    return problem.linear(_minimise(problem.loss_and_gradient, np.zeros((space.rows.size + 1) * classes)))


class _Problem:
    """Loss and gradient; the whitening is folded into the weights, so that vectors are not transformed."""

    def __init__(
        self, space: Coordinates, which: NDArray[np.int64], labels: NDArray[np.int64], classes: int, l2: float
    ) -> None:
        self._rows, self._which, self._labels, self._classes, self._l2 = space.rows, which, labels, classes, l2
        size = space.rows.size
        self._weights = balanced(labels, classes)
        self._held = self._rows.take(which) if 4 * size * len(which) <= _IN_MEMORY else None
        self._space = whitening(self._chunks, labels, self._weights, classes, size, space.features)

    def _chunks(self) -> Iterator[Chunk]:
        for start in range(0, len(self._which), _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            yield part, self._rows.take(self._which[part]) if self._held is None else self._held[part]

    def linear(self, solution: NDArray[np.float64]) -> Linear:
        """Classifier on the original features."""
        matrix = solution.reshape(-1, self._classes)
        weight = self._space.transposed(matrix[:-1])
        bias = matrix[-1] - self._space.mean @ weight
        return Linear(weight.astype(np.float32), bias.astype(np.float32))

    def loss_and_gradient(self, solution: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Loss and gradient at the whitened weights and the bias, concatenated."""
        linear, matrix = self.linear(solution), solution.reshape(-1, self._classes)[:-1]
        loss = self._l2 / 2 * float(np.square(matrix).sum())
        slopes, bias = np.zeros_like(matrix), np.zeros(self._classes)
        for part, chunk in self._chunks():
            losses, residual = _softmax_loss(linear.logits(chunk), self._labels[part])
            weights = self._weights[part]
            loss += float(losses @ weights)
            residual *= weights.astype(np.float32)[:, None]
            slopes += chunk.T @ residual
            bias += residual.sum(axis=0, dtype=np.float64)
        slopes = self._space.apply(slopes - np.outer(self._space.mean, bias)) + self._l2 * matrix
        return loss, np.concatenate([slopes.ravel(), bias])


def _softmax_loss(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log losses (n,), and their derivatives (n, K) with respect to the logits."""
    rows = np.arange(len(labels))
    logits -= logits.max(axis=1, keepdims=True)
    true = logits[rows, labels].copy()
    powers = np.exp(logits)
    sums = powers.sum(axis=1)
    slopes = powers / sums[:, None]
    slopes[rows, labels] -= 1
    return np.log(sums) - true, slopes


_Function = Callable[["NDArray[np.float64]"], tuple[float, "NDArray[np.float64]"]]


def _minimise(function: _Function, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minimise a convex function by L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5)."""
    at, (value, gradient) = start, function(start)
    enough = _TOLERANCE * float(np.linalg.norm(gradient))
    steps: deque[tuple[NDArray[np.float64], NDArray[np.float64]]] = deque(maxlen=_REMEMBERED)
    for _ in range(_ITERATIONS):
        if np.linalg.norm(gradient) <= enough:
            break
        direction = _direction(gradient, steps)
        slope, length = float(direction @ gradient), 1.0
        while True:
            candidate = at + length * direction
            candidate_value, candidate_gradient = function(candidate)
            if candidate_value <= value + 1e-4 * length * slope or length < 1e-8:
                break
            length /= 2
        step, change = candidate - at, candidate_gradient - gradient
        if step @ change > 0:
            steps.append((step, change))
        at, value, gradient = candidate, candidate_value, candidate_gradient
    return at


def _direction(
    gradient: NDArray[np.float64], steps: deque[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """L-BFGS search direction from the last steps (algorithm 7.4)."""
    direction = -gradient
    if not steps:
        return direction / max(1.0, float(np.linalg.norm(gradient)))
    shares = []
    for step, change in reversed(steps):
        share = (step @ direction) / (step @ change)
        direction = direction - share * change
        shares.append(share)
    step, change = steps[-1]
    direction = direction * ((step @ change) / (change @ change))
    for (step, change), share in zip(steps, reversed(shares), strict=True):
        direction = direction + (share - (change @ direction) / (step @ change)) * step
    return direction
