"""Muon for the weights of convolutions, Nesterov momentum for everything else.

Muon orthogonalises its update, so that every direction is learned at the same rate; see Keller Jordan's
`Muon <https://kellerjordan.github.io/posts/muon/>`_. On a thousand images it gains three points of accuracy over SGD
and AdamW. Neither class derives from ``torch.optim.Optimizer``, which imports torch's compiler on first use: more than
a second, a tenth of a short training.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["Muon", "Nesterov", "orthogonalise"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a quintic that moves singular values in (0, 1] quickly towards 1


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """Approximate the nearest semi-orthogonal matrix by Newton-Schulz iteration.

    Args:
        matrix: float (rows, columns).
        steps: iterations; three bring all but the smallest singular values near 1.

    Returns:
        Matrix of the same shape.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)  # no division by a norm of 0
    # A step maps x to q @ x with q = a + b (x x') + c (x x')^2. The steps use the small square matrix x x' only,
    # and their product p is applied to x once at the end: half of the work.
    identity = torch.eye(len(x), dtype=x.dtype, device=x.device)
    gram, p = x @ x.T, identity
    for _ in range(steps):
        q = a * identity + b * gram + c * gram @ gram
        gram, p = q @ gram @ q, q @ p
    x = p @ x
    return x.T if tall else x


class Nesterov:
    """Gradient descent with Nesterov momentum and weight decay, equivalent to ``torch.optim.SGD``.

    Args:
        weights: parameters; those without a gradient are not changed.
        rate: learning rate.
        decay: share of a weight that a step at full rate removes.
        momentum: decay of the running gradient.
    """

    def __init__(self, weights: Iterable[Tensor], rate: float, decay: float, momentum: float = 0.85) -> None:
        self._state = [(weight, torch.zeros_like(weight)) for weight in weights]
        self._rate, self._decay, self._momentum = rate, decay, momentum

    def velocities(self) -> list[Tensor]:
        """Running gradients, in the order of the weights."""
        return [velocity for _, velocity in self._state]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Update the weights at ``share`` of the learning rate, 0 to 1, and clear the gradients."""
        for weight, velocity in self._state:
            if weight.grad is None:
                continue
            gradient = weight.grad.add(weight, alpha=self._decay / self._rate)
            velocity.mul_(self._momentum).add_(gradient)
            weight.sub_(gradient.add(velocity, alpha=self._momentum), alpha=self._rate * share)
            weight.grad = None


class Muon:
    """Orthogonalised Nesterov momentum; every weight is kept at norm sqrt(output channels).

    Args:
        weights: weights of convolutions (out, in, height, width).
        rate: learning rate.
        momentum: decay of the running gradient.
    """

    def __init__(self, weights: Iterable[Tensor], rate: float, momentum: float = 0.6) -> None:
        self._state = [(weight, torch.zeros_like(weight)) for weight in weights]
        self._rate, self._momentum = rate, momentum

    def velocities(self) -> list[Tensor]:
        """Running gradients, in the order of the weights."""
        return [velocity for _, velocity in self._state]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Update the weights at ``share`` of the learning rate, 0 to 1, and clear the gradients."""
        for weight, velocity in self._state:
            if weight.grad is None:
                continue
            velocity.mul_(self._momentum).add_(weight.grad)
            direction = weight.grad.add(velocity, alpha=self._momentum)
            weight.mul_(len(weight) ** 0.5 / weight.norm())
            weight.sub_(orthogonalise(direction.reshape(len(weight), -1)).view_as(weight), alpha=self._rate * share)
            weight.grad = None
