"""The network and its optimizer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.training.network import MINIMUM_SIZE, Network, Stage, pixel_statistics, whitening_filters
from scones_ml.training.optimizer import Muon, Nesterov, orthogonalise


@pytest.mark.parametrize("size", [MINIMUM_SIZE, 32, 33, 48, 64, 224])
@pytest.mark.parametrize("classes", [2, 5])
def test_any_size_and_any_number_of_classes(size: int, classes: int) -> None:
    """Images from 16 pixels up give one logit per class."""
    network = Network(classes, size, widths=(24, 24, 24)).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, classes)


def test_larger_images_get_more_stages() -> None:
    """Every doubling beyond 32 pixels adds a stage."""
    assert [len(Network(2, size).stages) for size in (16, 32, 63, 64, 224)] == [3, 3, 3, 4, 5]


def test_a_fresh_convolution_passes_its_input_on() -> None:
    """The first convolution of a stage starts as the identity on as many channels as it reads."""
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Stage(8, 12).conv1(x)[:, :8], x)


def test_whitening_decorrelates_patches() -> None:
    """Correlated noise comes out of the whitening filters with unit variance and no correlation."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(3, 3, generator=generator)
    images = torch.einsum("cd,ndhw->nchw", mixing, torch.randn(64, 3, 17, 17, generator=generator))
    filters = whitening_filters(images, generator, epsilon=0.0)
    differences, sums = filters[:8:2], filters[8:16]
    responses = torch.nn.functional.conv2d(images, torch.cat([differences, sums])).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(torch.cov(responses.T), torch.eye(12), atol=0.05, rtol=0)


def test_whitening_filters_are_mirrored_and_negated() -> None:
    """A difference's mirror image is its negative and stands beside it; a sum is its own, and has its negative too."""
    generator = torch.Generator().manual_seed(0)
    filters = whitening_filters(torch.randn(8, 3, 9, 9, generator=generator), generator)
    assert torch.equal(filters[:8:2].flip(3), filters[1:8:2])
    assert torch.equal(filters[:8:2], -filters[1:8:2])
    assert torch.equal(filters[8:].flip(3), filters[8:])
    assert torch.equal(filters[8:16], -filters[16:])


def test_pixel_statistics_are_those_of_the_channels() -> None:
    """Mean and deviation agree with torch's own; a flat channel does not divide by zero."""
    images = torch.randint(0, 256, (300, 5, 5, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    images[..., 2] = 7
    mean, deviation = pixel_statistics(images)
    channels = images.float().flatten(0, 2)
    torch.testing.assert_close(mean, channels.mean(0))
    torch.testing.assert_close(deviation, channels.std(0, correction=0).clamp(min=1.0))


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 1000))
def test_orthogonalise_keeps_directions_and_evens_out_lengths(rows: int, columns: int, seed: int) -> None:
    """The result has the singular vectors of its input; large singular values end up near one."""
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.T @ orthogonalise(matrix) @ vt.T
    torch.testing.assert_close(turned, torch.diag(turned.diag()), atol=1e-6, rtol=0)
    assert ((turned.diag()[s > 0.3 * s.max()] > 0.3) & (turned.diag()[s > 0.3 * s.max()] < 1.3)).all()


def test_muon_descends_at_constant_norm() -> None:
    """Muon lowers a loss while it holds a weight's norm near the root of its output channels."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, generator=generator).requires_grad_()
    target = torch.randn(4, 3, 3, 3, generator=generator)
    muon, losses = Muon([weight], rate=0.05), []
    for _ in range(30):
        loss = -torch.nn.functional.cosine_similarity(weight.flatten(), target.flatten(), dim=0)
        losses.append(loss.item())
        loss.backward()
        muon.step(1.0)
    assert losses[-1] < losses[0] - 0.5
    assert weight.norm().item() == pytest.approx(2.0, rel=0.1)


def test_nesterov_is_torchs_own() -> None:
    """Ten steps at falling rates end where torch.optim.SGD ends."""
    ours, theirs = (torch.linspace(-1, 1, 7).requires_grad_() for _ in range(2))
    nesterov = Nesterov([ours], rate=0.1, decay=0.02)
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.85, nesterov=True, weight_decay=0.02 / 0.1)
    for step in range(10):
        reference.param_groups[0]["lr"] = 0.1 * (1 - step / 10)
        for weight in (ours, theirs):
            weight.grad = weight.detach().sin() + 0.3
        nesterov.step(1 - step / 10)
        reference.step()
    torch.testing.assert_close(ours, theirs)
