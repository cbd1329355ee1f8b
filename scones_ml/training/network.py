"""The classifier: a small convolutional network whose first layer is computed from the data, not learned.

Shapes are (batch, channels, height, width); the comments follow a 32x32 image. After Keller Jordan's
`94 % on CIFAR-10 in 2.6 seconds <https://github.com/KellerJordan/cifar10-airbench>`_, with narrower layers for
a thousand images on one CPU core.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody knows)
from torch import Tensor, nn

__all__ = ["MINIMUM_SIZE", "Network", "Stage", "pixel_statistics", "whitening_filters"]

MINIMUM_SIZE = 16
"""Smallest side in pixels that three halvings leave something of."""

LOGIT_SCALE = 1 / 9  # keeps the first logits small, so that the first steps are not saturated
_PATCHES = 50_000  # enough for a 12x12 covariance


def pixel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel.

    Args:
        images: uint8, (N, S, S, 3).

    Returns:
        Two float32 tensors (3,), in units of 0..255; the deviation is at least 1.
    """
    sums = torch.stack([chunk.double().sum((0, 1, 2)) for chunk in torch.split(images, 256)]).sum(0)
    squares = torch.stack([chunk.double().square().sum((0, 1, 2)) for chunk in torch.split(images, 256)]).sum(0)
    count = images[..., 0].numel()
    mean = sums / count
    deviation = (squares / count - mean.square()).clamp(min=1.0).sqrt()
    return mean.float(), deviation.float()


def whitening_filters(images: Tensor, generator: torch.Generator, epsilon: float = 5e-4) -> Tensor:
    """Filters that decorrelate 2x2 patches: their eigenvectors, scaled to unit variance, each with both signs.

    Args:
        images: normalised float32 images (N, 3, S, S), a sample of the training set.
        generator: draws the patches.
        epsilon: added to the eigenvalues, so that noise directions are not blown up.

    Returns:
        float32 (24, 3, 2, 2).
    """
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1)  # (N, 3, S-1, S-1, 2, 2)
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    chosen = torch.randint(len(patches), (min(_PATCHES, len(patches)),), generator=generator)
    sample = patches[chosen].double()
    values, vectors = torch.linalg.eigh(sample.T @ sample / len(sample))
    filters = (vectors / (values + epsilon).sqrt()).T.reshape(12, 3, 2, 2).float()
    return torch.cat([filters, -filters])


class Stage(nn.Module):
    """Halves the image: convolution, max-pool, norm, GELU, convolution, norm, GELU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = _identity_convolution(channels_in, channels_out)
        self.norm1 = _batch_norm(channels_out)
        self.conv2 = _identity_convolution(channels_out, channels_out)
        self.norm2 = _batch_norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H // 2, W // 2)."""
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class Network(nn.Module):
    """Normalised images to logits.

    Args:
        classes: number of classes K, at least 2.
        size: side of the images in pixels; every doubling beyond 32 adds a stage, so that the last
            feature map stays about 3x3.
        widths: channels of the first three stages.
    """

    def __init__(self, classes: int, size: int = 32, widths: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        nn.init.zeros_(cast("Tensor", self.whiten.bias))
        channels = [24, *widths, *[widths[-1]] * max(0, int(math.log2(size / 32)))]
        self.stages = nn.ModuleList(Stage(*pair) for pair in pairwise(channels))
        self.head = nn.Linear(channels[-1], classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """float (N, 3, S, S) -> logits (N, K)."""
        x = F.gelu(self.whiten(x))  # (N, 24, 31, 31)
        for stage in self.stages:
            x = stage(x)  # (N, 32, 15, 15), (N, 64, 7, 7), (N, 128, 3, 3)
        x = x.amax((2, 3))  # (N, 128)
        return cast("Tensor", self.head(x) * LOGIT_SCALE)


def _identity_convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3x3 convolution whose first ``channels_in`` outputs start as copies of its inputs."""
    layer = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:channels_in])
    return layer


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with a learned shift and no scale: a positive scale commutes with the max-pool on export."""
    layer = nn.BatchNorm2d(channels, eps=1e-5, momentum=0.4)  # the new batch's share: 0.6 of the old stays
    layer.weight.requires_grad_(False)
    return layer
