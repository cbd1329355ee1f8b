"""Test-time augmentation: an image is judged by six views of itself, in torch and in the exported graph alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody knows)
from torch import Tensor, nn

__all__ = ["SHIFTS", "SHIFT_WEIGHTS", "averaged_logits"]

SHIFTS = ((0, 0), (-1, -1), (1, 1))
"""Pixels down and right; each view counts with its mirror image."""

SHIFT_WEIGHTS = (0.5, 0.25, 0.25)  # half for the image where it is, half for both moved ones, as in cifar10-airbench


def averaged_logits(network: nn.Module, x: Tensor) -> Tensor:
    """Weighted mean of the logits over the six views.

    Args:
        network: (N, 3, S, S) -> (N, K).
        x: normalised images (N, 3, S, S).

    Returns:
        (N, K).
    """
    size = x.shape[-1]
    padded = F.pad(x, (1, 1, 1, 1), "reflect")
    shifted = [padded[..., 1 + dy : 1 + dy + size, 1 + dx : 1 + dx + size] for dy, dx in SHIFTS]
    views = torch.cat([*shifted, *(view.flip(3) for view in shifted)])  # (6N, 3, S, S)
    logits: Tensor = network(views).unflatten(0, (2 * len(SHIFTS), -1))  # (6, N, K)
    weights = logits.new_tensor(SHIFT_WEIGHTS * 2) / 2
    return torch.einsum("v,vnk->nk", weights, logits)
