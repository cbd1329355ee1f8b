"""The training loop: pictures and labels in, a trained network out.

The same seed, thread count and kind of processor give the same weights, bit for bit. No epoch is ever chosen: the
last one is taken, so that no held-out figure is flattered by a choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody knows)
from torch import Tensor, nn

from scones_ml.errors import TrainingError
from scones_ml.training.augment import cutmix, flip_and_shift, recolour
from scones_ml.training.network import Network, pixel_statistics, whitening_filters
from scones_ml.training.optimizer import Muon, Nesterov
from scones_ml.training.views import averaged_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scones_ml.training.presets import Recipe

__all__ = ["Epoch", "Fitted", "fit", "make_repeatable"]

_WHITENING_SAMPLE = 1000  # pictures
_LOOK_AHEAD_EVERY = 5  # steps
_JUDGED_AT_ONCE = 64  # pictures


@dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    Attributes:
        number: from 0.
        train_accuracy: share of the training pictures that were right while it ran, augmented as they were.
    """

    number: int
    train_accuracy: float


@dataclass(frozen=True)
class Fitted:
    """A trained network and the pixel statistics (3,), in units of 0..255, that it was trained with."""

    network: Network
    mean: Tensor
    deviation: Tensor

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of uint8 pictures (N, S, S, 3), averaged over six views of each: float32 (N, K)."""
        self.network.eval()
        parts = [
            averaged_logits(self.network, _as_input(self.normalise(part.to(self.mean.device)))).cpu().numpy()
            for part in _batches(images)
        ]
        return np.concatenate(parts)

    @torch.inference_mode()
    def quick_accuracy(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """Share of right answers from one view of each picture, in the precision of the training."""
        self.network.eval()
        right = 0
        for part, truth in zip(_batches(images), _batches(labels), strict=True):
            with _precision(self.mean.device.type):
                logits = self.network(_as_input(self.normalise(part.to(self.mean.device))))
            right += int((logits.argmax(1).cpu() == truth).sum())
        return right / len(labels)

    def normalise(self, images: Tensor) -> Tensor:
        """Pixels of 0..255, channels last, to mean 0 and deviation 1."""
        return (images - self.mean) / self.deviation


def make_repeatable(threads: int, device: str = "cpu") -> None:
    """Make this process's torch repeat itself bit for bit, on this many CPU threads.

    On the CPU, what this module uses does so by itself. Asking torch to watch over it would import its compiler,
    which takes longer than a short training's first epochs.
    """
    torch.set_num_threads(threads)
    if device == "cuda":
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


def fit(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: int,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    on_epoch: Callable[[Epoch, Fitted], None] = lambda _epoch, _fitted: None,
) -> Fitted:
    """Train a network from scratch.

    Args:
        images: uint8 (N, S, S, 3).
        labels: (N,), in 0..K-1.
        classes: number of classes K.
        recipe: how to train.
        seed: of everything random.
        device: ``"cpu"`` or ``"cuda"``.
        on_epoch: called after every epoch with the network as it stands then.

    Raises:
        TrainingError: the loss is no longer a finite number.
    """
    generator = torch.Generator().manual_seed(seed)
    data = torch.from_numpy(images).to(device)
    targets = F.one_hot(torch.from_numpy(labels), classes).float().to(device)
    fitted = _start(data, classes, recipe, generator)
    batch_size = min(recipe.batch_size, len(data))
    steps = len(data) // batch_size  # an epoch; what is left over differs from epoch to epoch
    optimizer = _Optimizer(fitted.network, recipe, batch_size, steps)
    flips = torch.rand(len(data), generator=generator) < 0.5
    for number in range(recipe.epochs):
        if number == recipe.whiten_epochs:
            fitted.network.whiten.requires_grad_(False)  # spares the largest gradient of all
        fitted.network.train()
        flips = ~flips  # alternating: every picture is seen both ways round in any two epochs
        order = torch.randperm(len(data), generator=generator)[: steps * batch_size]
        right = 0
        for some in torch.split(order, batch_size):
            x, y = data[some.to(device)], targets[some.to(device)]
            x = flip_and_shift(fitted.normalise(x), flips[some], recipe.reach * x.shape[1] // 32, generator)
            x = recolour(x, recipe.recolour, recipe.grey, generator)
            right += _step(fitted.network, optimizer, *cutmix(x, y, recipe.cutmix, generator), y.argmax(1))
        on_epoch(Epoch(number, right / len(order)), fitted)
    return fitted


def _step(network: Network, optimizer: _Optimizer, x: Tensor, y: Tensor, truth: Tensor) -> int:
    """Learn from one batch (N, S, S, 3) with targets (N, K); returns how many of its answers were right before."""
    with _precision(x.device.type):
        logits = network(_as_input(x))
    loss = F.cross_entropy(logits.float(), y)
    if not torch.isfinite(loss):
        raise TrainingError(f"the loss is {loss.item()}: training diverged; check the pictures and their labels")
    optimizer.step(loss)
    return int((logits.argmax(1) == truth).sum())


def _start(data: Tensor, classes: int, recipe: Recipe, generator: torch.Generator) -> Fitted:
    """A fresh network with its first layer computed from the data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        network = Network(classes, data.shape[1], recipe.widths)
    fitted = Fitted(network.to(data.device, memory_format=torch.channels_last), *pixel_statistics(data))  # type: ignore[call-overload]
    some = torch.randperm(len(data), generator=generator)[:_WHITENING_SAMPLE].to(data.device)
    filters = whitening_filters(_as_input(fitted.normalise(data[some])), generator)
    network.whiten.weight.data.copy_(filters)
    return fitted


def _as_input(x: Tensor) -> Tensor:
    """(N, S, S, 3) -> (N, 3, S, S), the same memory: channels last, the layout that convolutions are fastest in."""
    return x.permute(0, 3, 1, 2)


def _batches(values: NDArray[np.generic]) -> tuple[Tensor, ...]:
    """In parts that fit into the processor's cache."""
    return torch.split(torch.from_numpy(values), _JUDGED_AT_ONCE)


def _precision(device: str) -> torch.autocast:
    """bfloat16 where the processor multiplies it itself; emulated, it would be slower than float32."""
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda" or torch.cpu._is_avx512_bf16_supported())


class _Optimizer:
    """Muon for the convolutions, Nesterov for the rest, rates that fall to zero, look-ahead averaging."""

    def __init__(self, network: Network, recipe: Recipe, batch_size: int, steps: int) -> None:
        modules = list(network.modules())
        shifts = [module.bias for module in modules if isinstance(module, nn.BatchNorm2d)]
        convolutions = [module.weight for module in network.stages.modules() if isinstance(module, nn.Conv2d)]
        whitening = [parameter for parameter in network.whiten.parameters() if parameter.requires_grad]
        decay = 2e-6 * batch_size
        self._done, self._total = 0, recipe.epochs * steps
        self._parts: list[tuple[Nesterov | Muon, int]] = [  # with the step at which its rate is zero
            (Nesterov(whitening, recipe.bias_lr, decay), recipe.whiten_epochs * steps),
            (Nesterov(shifts, recipe.bias_lr, decay), self._total),
            (Nesterov([network.head.weight], recipe.head_lr, decay), self._total),
            (Muon(convolutions, recipe.muon_lr), self._total),
        ]
        self._averages = [
            (value, value.clone()) for value in network.state_dict().values() if value.is_floating_point()
        ]

    def step(self, loss: Tensor) -> None:
        """Take the loss's gradients and use them up."""
        loss.backward()  # type: ignore[no-untyped-call]
        for part, until in self._parts:
            part.step(max(0.0, 1 - self._done / until))
        self._done += 1
        if self._done % _LOOK_AHEAD_EVERY == 0:
            self._pull(0.95**_LOOK_AHEAD_EVERY * (self._done / self._total) ** 3)
        if self._done == self._total:
            self._pull(1.0)

    @torch.no_grad()
    def _pull(self, inertia: float) -> None:
        """Move the slow weights towards the fast ones, and the fast ones to where the slow ones now are."""
        for fast, slow in self._averages:
            slow.lerp_(fast, 1 - inertia)
            fast.copy_(slow)
