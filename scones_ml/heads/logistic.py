"""Multinomial logistic regression on feature vectors, by L-BFGS; numpy alone.

scikit-learn's gives the same coefficients and brings SciPy along, three times the size of everything else here
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

_AT_A_TIME: Final = 1_024  # rows, with what is computed of each
_IN_MEMORY: Final = 128_000_000  # bytes of features that are held, not read from a disk at every step
_ITERATIONS, _REMEMBERED = 200, 8
_TOLERANCE: Final = 1e-3  # of the first gradient's length; the answers do not change any more


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
        """(N, D) features to (N, K) logits."""
        return features @ self.weight + self.bias


def balanced(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(N,) weights of sum 1 that give every class the same say."""
    counts = np.bincount(labels, minlength=classes)
    return np.asarray(1 / (np.count_nonzero(counts) * counts[labels]))


def fit_logistic(rows: Rows, which: NDArray[np.int64], labels: NDArray[np.int64], classes: int, l2: float) -> Linear:
    """Fit weights that minimise the mean log loss, each class weighing the same, plus ``l2 / 2`` times their squares.

    The weights that are squared are those of the whitened features (:mod:`scones_ml.heads.whitening`); the ones that
    come out are of the features as they are.

    Args:
        rows: feature vectors.
        which: (N,) which of them to learn from.
        labels: (N,) their classes, 0..K-1.
        classes: K, at least 2.
        l2: above 0; the bias is free.
    """
    space = coordinates(rows, which)
    linear = fit_within(space, np.arange(len(which)), labels, classes, l2)
    return Linear(space.back(linear.weight), linear.bias)


def fit_within(
    space: Coordinates, which: NDArray[np.int64], labels: NDArray[np.int64], classes: int, l2: float
) -> Linear:
    """The same of coordinates: (R, K) weights, which :meth:`Coordinates.back` turns into those of the features."""
    problem = _Problem(space, which, labels, classes, l2)
    return problem.linear(_minimise(problem.loss_and_gradient, np.zeros((space.rows.size + 1) * classes)))


class _Problem:
    """The loss and its gradient; the whitening is folded into the weights, so that no vector is ever changed."""

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
        """The classifier of features as they are."""
        matrix = solution.reshape(-1, self._classes)
        weight = self._space.transposed(matrix[:-1])
        bias = matrix[-1] - self._space.mean @ weight
        return Linear(weight.astype(np.float32), bias.astype(np.float32))

    def loss_and_gradient(self, solution: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Of the weights in the whitened space and the bias, one after another."""
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
    """(n,) log losses, and (n, K) their slopes by the logits."""
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
    """The minimum of a convex function by L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5)."""
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
    """Downhill, bent by the curvature that the last steps met (algorithm 7.4)."""
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
