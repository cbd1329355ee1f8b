"""A small convolutional network whose first layer is computed from the data, not learned.

Shapes are (batch, channels, height, width); the comments follow a 32x32 image. After Keller Jordan's
`94 % on CIFAR-10 in 2.6 seconds <https://github.com/KellerJordan/cifar10-airbench>`_, with narrower layers for
a thousand images on one CPU core.

The network is mirror-symmetric: an image and its mirror image have the same logits, so one view is enough. Every
channel has a partner, whose response to the mirror image mirrors the channel's response to the image: its weights are
the channel's, flipped horizontally, with partners swapped among the inputs. Weights are initialised so, and stay so
since every gradient is averaged with its mirrored counterpart. The symmetry is exact if every stage halves an even
side.
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
"""Minimum side in pixels, for three halvings."""

LOGIT_SCALE = 1 / 9  # keeps initial logits small, so that the first steps do not saturate
_PATCHES = 50_000  # enough for an 18x18 covariance
_ANTISYMMETRIC, _SYMMETRIC = 4, 8  # filters of the first layer, each with both signs: 24 channels


def pixel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of pixels per channel.

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
    """Filters that decorrelate 3x3 patches: the principal axes, scaled to unit variance, each with both signs.

    Axes of left-right differences come first, each next to its negative, which is its mirror image; then those of the
    sums, which are their own mirror images.

    Args:
        images: normalised float32 images (N, 3, S, S), a sample of the training set.
        generator: draws the patches.
        epsilon: added to the eigenvalues, so that noise is not amplified.

    Returns:
        float32 (24, 3, 3, 3).
    """
    patches = images.unfold(2, 3, 1).unfold(3, 3, 1)  # (N, 3, S-2, S-2, 3, 3)
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 9, 3)
    chosen = torch.randint(len(patches), (min(_PATCHES, len(patches)),), generator=generator)
    left, middle, right = patches[chosen].double().unbind(2)  # (P, 9) each
    root = math.sqrt(0.5)
    outer = _principal_axes((left - right) * root, _ANTISYMMETRIC, epsilon) * root  # (4, 9)
    differences = torch.stack([outer, torch.zeros_like(outer), -outer], 2)
    axes = _principal_axes(torch.cat([(left + right) * root, middle], 1), _SYMMETRIC, epsilon)  # (8, 18)
    outer, centre = axes[:, :9] * root, axes[:, 9:]
    sums = torch.stack([outer, centre, outer], 2)
    both = torch.stack([differences, -differences], 1).flatten(0, 1)
    return torch.cat([both, sums, -sums]).reshape(-1, 3, 3, 3).float()


def _principal_axes(samples: Tensor, count: int, epsilon: float) -> Tensor:
    """The strongest axes of samples (P, D) whose mean is near 0, scaled to unit variance: (count, D)."""
    values, vectors = torch.linalg.eigh(samples.T @ samples / len(samples))
    axes: Tensor = (vectors / (values + epsilon).sqrt()).T
    return axes[-count:]


def _mirrored(values: Tensor) -> Tensor:
    """Mirrored values of a layer: those of each channel's partner, kernels flipped.

    Args:
        values: values of a norm or bias (C,), a convolution between partners (C, C_in, H, W) or the head (K, C).
    """
    if values.dim() == 1:
        return values[_partners(len(values))]
    swapped = values[:, _partners(values.shape[1])]
    return swapped if values.dim() == 2 else swapped[_partners(len(values))].flip(3)


def _partners(channels: int) -> Tensor:
    """Index of each channel's partner: its neighbour, or itself for the sums of the first layer."""
    own = torch.arange(channels)
    partners = (own ^ 1).clamp(max=channels - 1)
    alone = slice(2 * _ANTISYMMETRIC, 2 * (_ANTISYMMETRIC + _SYMMETRIC))
    partners[alone] = own[alone]
    return partners


class Stage(nn.Module):
    """A stage that halves the image: convolution, max-pool, norm, GELU, convolution, norm, GELU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = _identity_convolution(channels_in, channels_out)
        self.norm1 = _batch_norm(channels_out)
        self.conv2 = _identity_convolution(channels_out, channels_out)
        self.norm2 = _batch_norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels_in, H, W) to (N, channels_out, H // 2, W // 2)."""
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class Network(nn.Module):
    """Network from normalised images to logits.

    Args:
        classes: number of classes K, at least 2.
        size: side of the images, in pixels; every doubling beyond 32 adds a stage, so that the last feature map stays
            about 4x4.
        widths: channels of the first three stages, even numbers.
    """

    def __init__(self, classes: int, size: int = 32, widths: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 3, padding=1, padding_mode="reflect")
        self.whiten.weight.requires_grad_(False)
        nn.init.zeros_(cast("Tensor", self.whiten.bias))
        channels = [24, *widths, *[widths[-1]] * max(0, int(math.log2(size / 32)))]
        self.stages = nn.ModuleList(Stage(*pair) for pair in pairwise(channels))
        self.head = nn.Linear(channels[-1], classes, bias=False)
        _make_symmetric(self.head.weight.data)

    def forward(self, x: Tensor) -> Tensor:
        """Map images float (N, 3, S, S) to logits (N, K)."""
        x = F.gelu(self.whiten(x))  # (N, 24, 32, 32)
        for stage in self.stages:
            x = stage(x)  # (N, 32, 16, 16), (N, 64, 8, 8), (N, 128, 4, 4)
        x = x.amax((2, 3))  # (N, 128)
        return cast("Tensor", self.head(x) * LOGIT_SCALE)

    def is_symmetric(self) -> bool:
        """Whether the first layer is mirror-symmetric, as in all networks except those of version 0.1.0."""
        filters = self.whiten.weight
        return torch.equal(filters[_partners(len(filters))], filters.flip(3))

    @torch.no_grad()
    def average_mirrored(self) -> None:
        """Average every gradient, and the norms' statistics, with their mirrored counterparts."""
        gradients = [value.grad for value in self.parameters() if value.grad is not None]
        for values in (*gradients, *(value for value in self.buffers() if value.dim())):
            values.add_(_mirrored(values)).div_(2)


def _identity_convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A symmetric 3x3 convolution whose first ``channels_in`` outputs start as copies of its inputs."""
    layer = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    _make_symmetric(layer.weight.data)
    nn.init.dirac_(layer.weight.data[:channels_in])
    return layer


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with a learned shift and no scale: a positive scale commutes with the max-pool on export."""
    layer = nn.BatchNorm2d(channels, eps=1e-5, momentum=0.4)  # share of the new batch; 0.6 of the old stays
    layer.weight.requires_grad_(False)
    return layer


def _make_symmetric(weights: Tensor) -> None:
    """Add the mirrored weights, keeping the variance."""
    weights.add_(_mirrored(weights)).div_(math.sqrt(2))
