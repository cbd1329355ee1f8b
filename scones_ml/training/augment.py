"""Augmentation of training images, in batches.

Images are (N, S, S, 3): flips and shifts are one gather, and the result is in the channels-last layout, the fastest for
convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["color_jitter", "cutmix", "flip_and_shift"]


def flip_and_shift(images: Tensor, flips: Tensor, max_shift: int, generator: torch.Generator) -> Tensor:
    """Mirror the images marked in ``flips`` and shift each by up to ``max_shift`` pixels, edges reflected.

    Args:
        images: (N, S, S, 3).
        flips: bool (N,), on the CPU.
        max_shift: pixels, less than S.
        generator: a CPU generator.

    Returns:
        Tensor of the same shape.
    """
    count, size = images.shape[:2]
    offsets = torch.randint(-max_shift, max_shift + 1, (2, count, 1), generator=generator)
    rows, columns = _reflect(torch.arange(size) + offsets, size)  # (N, S) each
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    pixel = torch.arange(count)[:, None, None] * size**2 + rows[:, :, None] * size + columns[:, None, :]
    return images.reshape(-1, 3).index_select(0, pixel.flatten().to(images.device)).view(images.shape)


def color_jitter(images: Tensor, strength: float, grayscale_probability: float, generator: torch.Generator) -> Tensor:
    """Randomly change contrast, brightness and tint of each image, and convert some to grey.

    Args:
        images: (N, S, S, 3), normalised to standard deviation 1.
        strength: maximum change of contrast, as a share, and of brightness, in deviations; tint changes half as much.
        grayscale_probability: probability that an image is converted to grey.
        generator: a CPU generator.

    Returns:
        Tensor of the same shape.
    """

    def change(channels: int) -> Tensor:
        uniform = torch.rand(len(images), 1, 1, channels, generator=generator)
        return ((2 * uniform - 1) * strength).to(images.device)

    mean = images.mean((1, 2), keepdim=True)
    recoloured = (images - mean) * (1 + change(1)) + (mean + change(1) + change(3) / 2)
    colourless = torch.rand(len(images), 1, 1, 1, generator=generator) < grayscale_probability
    return torch.where(colourless.to(images.device), recoloured.mean(3, keepdim=True), recoloured)


def cutmix(images: Tensor, targets: Tensor, chance: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste a box of another image into some images and mix their targets by area (CutMix, Yun et al., 2019).

    Args:
        images: (N, S, S, 3).
        targets: (N, K), rows sum to 1.
        chance: probability that an image gets a box.
        generator: a CPU generator.

    Returns:
        Mixed images and targets, the same shapes.
    """
    count, size = images.shape[:2]
    side = (torch.rand(count, 1, generator=generator).sqrt() * size).round()  # the area is uniform
    side *= torch.rand(count, 1, generator=generator) < chance
    centre = torch.rand(2, count, 1, generator=generator) * size
    inside = (torch.arange(size) + 0.5 - centre).abs() < side / 2  # (2, N, S): rows, columns
    box = inside[0][:, :, None] & inside[1][:, None, :]  # (N, S, S)
    share = box.float().mean((1, 2))[:, None].to(targets.device)
    partner = torch.randperm(count, generator=generator).to(images.device)
    mixed = torch.where(box[..., None].to(images.device), images[partner], images)
    return mixed, targets * (1 - share) + targets[partner] * share


def _reflect(index: Tensor, size: int) -> Tensor:
    """Reflect indices beyond 0..size-1 at the edges, without repeating the edge."""
    index = index.abs()
    return (size - 1) - ((size - 1) - index).abs()
