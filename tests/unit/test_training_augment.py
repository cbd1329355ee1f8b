"""Random views of training pictures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.training.augment import cutmix, flip_and_crop

seeds = st.integers(0, 2**31 - 1)


def generator(seed: int) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def numbered(count: int, size: int) -> torch.Tensor:
    """Pictures in which every pixel is different."""
    return torch.arange(count * size * size * 3, dtype=torch.float32).view(count, size, size, 3)


@settings(deadline=None)  # torch is slow on its first call
@given(seed=seeds, count=st.integers(1, 4), size=st.integers(4, 9), missing=st.integers(0, 3))
def test_crops_are_windows_of_the_picture_mirrored_where_marked(seed: int, count: int, size: int, missing: int) -> None:
    """Without reach a crop is a contiguous window of its own picture, mirrored exactly where it is marked."""
    images, flips = numbered(count, size), torch.rand(count, generator=generator(seed)) < 0.5
    side = size - missing
    crops = flip_and_crop(images, flips, side, 0, generator(seed))
    for image, flip, crop in zip(images, flips, crops, strict=True):
        upright = crop.flip(1) if flip else crop
        windows = image.unfold(0, side, 1).unfold(1, side, 1).flatten(0, 1).permute(0, 2, 3, 1)
        assert any(torch.equal(window, upright) for window in windows)


@settings(deadline=None)  # torch is slow on its first call
@given(seed=seeds, reach=st.integers(0, 3))
def test_reach_reflects_at_the_edges(seed: int, reach: int) -> None:
    """With reach a crop is a window of the picture padded by reflection, as torch pads it."""
    images = numbered(1, 6)
    (crop,) = flip_and_crop(images, torch.tensor([False]), 6, reach, generator(seed))
    padded = torch.nn.functional.pad(images.permute(0, 3, 1, 2), (reach,) * 4, "reflect")[0].permute(1, 2, 0)
    windows = padded.unfold(0, 6, 1).unfold(1, 6, 1).flatten(0, 1).permute(0, 2, 3, 1)
    assert any(torch.equal(window, crop) for window in windows)


@settings(deadline=None)  # torch is slow on its first call
@given(seed=seeds, count=st.integers(1, 6), size=st.integers(2, 8))
def test_cutmix_moves_as_much_target_as_it_moves_picture(seed: int, count: int, size: int) -> None:
    """Targets are mixed by the very share of pixels that came from the other picture."""
    images = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(count, size, size, 3)
    mixed, targets = cutmix(images, torch.eye(count), 1.0, generator(seed))
    shares = torch.stack([(mixed[..., 0] == index).float().mean((1, 2)) for index in range(count)], 1)
    torch.testing.assert_close(targets, shares)


def test_cutmix_pastes_one_box() -> None:
    """What is pasted is a single rectangle, so that it looks like something and not like noise."""
    images = torch.stack([torch.zeros(16, 16, 3), torch.ones(16, 16, 3)]).repeat(32, 1, 1, 1)
    mixed, _ = cutmix(images, torch.eye(64), 1.0, generator(0))
    pasted = mixed[..., 0] != images[..., 0]
    for box in pasted:
        rows, columns = box.any(1), box.any(0)
        assert torch.equal(box, rows[:, None] & columns[None, :])
    assert 0.1 < pasted.float().mean().item() < 0.4


@pytest.mark.parametrize("count", [1, 3])
def test_views_leave_the_pictures_alone(count: int) -> None:
    """Neither augmentation writes into the pictures it is given."""
    images = numbered(count, 8)
    flip_and_crop(images, torch.ones(count, dtype=torch.bool), 8, 2, generator(1))
    cutmix(images, torch.eye(count), 1.0, generator(1))
    assert torch.equal(images, numbered(count, 8))
