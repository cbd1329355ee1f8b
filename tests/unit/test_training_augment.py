"""Random views of training images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.training.augment import color_jitter, cutmix, flip_and_shift

seeds = st.integers(0, 2**31 - 1)


def generator(seed: int) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def numbered(count: int, size: int) -> torch.Tensor:
    """Images in which every pixel is different."""
    return torch.arange(count * size * size * 3, dtype=torch.float32).view(count, size, size, 3)


@settings(deadline=None)  # torch is slow on its first call
@given(seed=seeds, count=st.integers(1, 4), size=st.integers(4, 9), max_shift=st.integers(0, 3))
def test_a_shifted_image_is_a_window_of_the_padded_one(seed: int, count: int, size: int, max_shift: int) -> None:
    """Each result is a window of its own image padded by reflection, mirrored exactly where it is marked."""
    images, flips = numbered(count, size), torch.rand(count, generator=generator(seed)) < 0.5
    shifted = flip_and_shift(images, flips, max_shift, generator(seed))
    padded = torch.nn.functional.pad(images.permute(0, 3, 1, 2), (max_shift,) * 4, "reflect")
    for image, flip, result in zip(padded, flips, shifted, strict=True):
        upright = result.flip(1) if flip else result
        windows = image.unfold(1, size, 1).unfold(2, size, 1).flatten(1, 2).permute(1, 2, 3, 0)
        assert any(torch.equal(window, upright) for window in windows)


@settings(deadline=None)
@given(seed=seeds)
def test_all_shifts_within_reach_occur(seed: int) -> None:
    """Of many images some move by each offset from -reach to reach, in both directions."""
    row, column = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    images = torch.stack([row, column, row], 2).expand(400, 9, 9, 3)
    shifted = flip_and_shift(images, torch.zeros(400, dtype=torch.bool), 2, generator(seed))
    assert set(map(tuple, (shifted[:, 4, 4, :2] - 4).tolist())) == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}


@settings(deadline=None)  # torch is slow on its first call
@given(seed=seeds, count=st.integers(1, 6), size=st.integers(2, 8))
def test_cutmix_moves_as_much_target_as_it_moves_image(seed: int, count: int, size: int) -> None:
    """Targets are mixed by the very share of pixels that came from the other image."""
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


def test_recolouring_stays_within_its_strength() -> None:
    """Contrast scales by up to the strength, the mean moves by at most 1.5 strengths, the pattern stays."""
    images = torch.randn(200, 6, 6, 3, generator=generator(0))
    changed = color_jitter(images, 0.2, 0.0, generator(1))
    scale = changed.std((1, 2)) / images.std((1, 2))
    torch.testing.assert_close(scale, scale[:, :1].expand(-1, 3))
    assert 0.8 <= scale.min() < 0.85 < 1.15 < scale.max() <= 1.2001
    moved = changed.mean((1, 2)) - images.mean((1, 2))
    assert 0.2 < moved.abs().max() <= 0.3001
    torch.testing.assert_close(color_jitter(images, 0.0, 0.0, generator(1)), images)


def test_some_images_lose_their_colour() -> None:
    """The stated share of the images comes back with three equal channels, the others keep theirs."""
    changed = color_jitter(torch.randn(1000, 4, 4, 3, generator=generator(0)), 0.2, 0.3, generator(1))
    grey = (changed == changed[..., :1]).flatten(1).all(1)
    assert 0.25 < grey.float().mean().item() < 0.35


@pytest.mark.parametrize("count", [1, 3])
def test_views_leave_the_images_alone(count: int) -> None:
    """Neither augmentation writes into the images it is given."""
    images = numbered(count, 8)
    flip_and_shift(images, torch.ones(count, dtype=torch.bool), 2, generator(1))
    cutmix(images, torch.eye(count), 1.0, generator(1))
    color_jitter(images, 0.5, 0.5, generator(1))
    assert torch.equal(images, numbered(count, 8))
