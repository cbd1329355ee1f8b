"""Training loop of the network.

The same seed, thread count and kind of processor give the same weights, bit for bit. The last epoch is always used, so
that held-out figures are not biased by a choice.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody knows)
from torch import Tensor, nn

from scones_ml.errors import TrainingError
from scones_ml.training.augment import color_jitter, cutmix, flip_and_shift
from scones_ml.training.network import Network, pixel_statistics, whitening_filters
from scones_ml.training.optimizer import Muon, Nesterov

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from scones_ml.training.presets import Recipe

    State = Mapping[str, Tensor]

__all__ = ["Epoch", "Fitted", "Training", "fit", "make_repeatable"]

_WHITENING_SAMPLE = 1000  # images; enough for the filters, and bounds the cost for large data sets
_LOOK_AHEAD_EVERY = 5  # steps; this and the averaging's 0.95 as in cifar10-airbench
_JUDGED_AT_ONCE = 64  # images


@dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    Attributes:
        number: from 0.
        train_accuracy: accuracy on the augmented training images during the epoch.
    """

    number: int
    train_accuracy: float


@dataclass(frozen=True)
class Fitted:
    """A trained network with the pixel statistics (3,) of its training, in units of 0..255."""

    network: Network
    mean: Tensor
    deviation: Tensor

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of uint8 images (N, S, S, 3): float32 (N, K)."""
        self.network.eval()
        parts = [
            self.network(_as_input(self.normalise(part.to(self.mean.device)))).cpu().numpy()
            for part in _batches(images)
        ]
        return np.concatenate(parts)

    def accuracy(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """Accuracy on images (N, S, S, 3) with labels (N,)."""
        return float((self.logits(images).argmax(1) == labels).mean())

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise pixels of 0..255, channels last, to mean 0 and standard deviation 1."""
        return (images - self.mean) / self.deviation


def make_repeatable(threads: int, device: str = "cpu") -> None:
    """Make torch deterministic in this process, with this many CPU threads.

    On the CPU all operations used here are deterministic. Torch's own check would import its compiler, which takes
    longer than the first epochs of a short training.
    """
    torch.set_num_threads(threads)
    if device == "cuda":
        torch.use_deterministic_algorithms(True)
        # Benchmarking picks the fastest kernel at the moment, and kernels round differently.
        torch.backends.cudnn.benchmark = False


def fit(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: int,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    init: Fitted | None = None,
    on_epoch: Callable[[Epoch, Fitted], None] = lambda _epoch, _fitted: None,
) -> Fitted:
    """Train a network for all epochs of a recipe.

    Args:
        images: uint8 (N, S, S, 3).
        labels: (N,) class indices in 0..K-1.
        classes: number of classes K.
        recipe: settings of the training.
        seed: random seed.
        device: ``"cpu"`` or ``"cuda"``.
        init: base model to continue from, for K classes and images of this size, not modified; None trains from
            scratch.
        on_epoch: called after every epoch with the current network.

    Raises:
        TrainingError: the loss is not finite.
    """
    training = Training(images, labels, classes, recipe, seed=seed, device=device, init=init)
    for epoch in training:
        on_epoch(epoch, training.fitted)
    return training.fitted


class Training:
    """A training as an iterator over its epochs, which can be saved and resumed after any of them.

    Args: those of :func:`fit`.

    Attributes:
        fitted: the current network.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        classes: int,
        recipe: Recipe,
        *,
        seed: int = 0,
        device: str = "cpu",
        init: Fitted | None = None,
    ) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._data = torch.from_numpy(images).to(device)
        self._targets = F.one_hot(torch.from_numpy(labels), classes).float().to(device)
        self._recipe = recipe
        self.fitted = copy.deepcopy(init) if init else _start(self._data, classes, recipe, self._generator)
        self._batch_size = min(recipe.batch_size, len(images))
        self._steps = len(images) // self._batch_size  # an epoch; the images left over differ between epochs
        self._optimizer = _Optimizer(self.fitted.network, recipe, self._batch_size, self._steps)
        self._flips = torch.rand(len(images), generator=self._generator) < 0.5
        self._done = 0  # epochs

    def __iter__(self) -> Iterator[Epoch]:
        """Train the remaining epochs, one at a time.

        Raises:
            TrainingError: the loss is not finite.
        """
        while self._done < self._recipe.epochs:
            accuracy = self._epoch()
            self._done += 1
            yield Epoch(self._done - 1, accuracy)

    def state(self) -> State:
        """Copy of the state needed to resume bit for bit."""
        counts = {"epochs": torch.tensor(self._done), "steps": torch.tensor(self._optimizer.done)}
        drawn = {"flips": self._flips, "generator": self._generator.get_state()}
        return {name: value.clone() for name, value in (counts | drawn | self._live()).items()}

    def restore(self, state: State) -> None:
        """Resume from the :meth:`state` of a training with the same arguments."""
        self._done, self._optimizer.done = int(state["epochs"]), int(state["steps"])
        self._flips = state["flips"]
        self._generator.set_state(state["generator"])
        for name, value in self._live().items():
            value.copy_(state[name])

    def _live(self) -> dict[str, Tensor]:
        """Tensors changed by a step, by name."""
        network = {f"network.{name}": value for name, value in self.fitted.network.state_dict().items()}
        return network | {f"optimizer.{number}": value for number, value in enumerate(self._optimizer.tensors())}

    def _epoch(self) -> float:
        network, recipe, generator = self.fitted.network, self._recipe, self._generator
        # freezing the first layer saves the largest gradient
        cast("nn.Parameter", network.whiten.bias).requires_grad_(self._done < recipe.whiten_epochs)
        network.train()
        self._flips = ~self._flips  # alternating: every image is seen in both orientations within two epochs
        order = torch.randperm(len(self._data), generator=generator)[: self._steps * self._batch_size]
        right = 0
        for some in torch.split(order, self._batch_size):
            x, y = self._data[some.to(self._data.device)], self._targets[some.to(self._data.device)]
            max_shift = recipe.max_shift * x.shape[1] // 32
            x = flip_and_shift(self.fitted.normalise(x), self._flips[some], max_shift, generator)
            x = color_jitter(x, recipe.color_jitter, recipe.grayscale_probability, generator)
            right += _step(network, self._optimizer, *cutmix(x, y, recipe.cutmix, generator), y.argmax(1))
        return right / len(order)


def _step(network: Network, optimizer: _Optimizer, x: Tensor, y: Tensor, truth: Tensor) -> int:
    """Train on one batch (N, S, S, 3) with targets (N, K); returns the number of correct predictions before."""
    with _precision(x.device.type):
        logits = network(_as_input(x))
    loss = F.cross_entropy(logits.float(), y)
    if not torch.isfinite(loss):
        raise TrainingError(f"the loss is {loss.item()}: training diverged; check the images and their labels")
    optimizer.step(loss)
    return int((logits.argmax(1) == truth).sum())


def _start(data: Tensor, classes: int, recipe: Recipe, generator: torch.Generator) -> Fitted:
    """A new network with its first layer computed from the data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        network = Network(classes, data.shape[1], recipe.widths)
    # mypy: torch's types know memory_format for tensors, not for a module.
    fitted = Fitted(network.to(data.device, memory_format=torch.channels_last), *pixel_statistics(data))  # type: ignore[call-overload]
    some = torch.randperm(len(data), generator=generator)[:_WHITENING_SAMPLE].to(data.device)
    filters = whitening_filters(_as_input(fitted.normalise(data[some])), generator)
    network.whiten.weight.data.copy_(filters)
    return fitted


def _as_input(x: Tensor) -> Tensor:
    """View (N, S, S, 3) as (N, 3, S, S) in channels-last layout, the fastest for convolutions."""
    return x.permute(0, 3, 1, 2)


def _batches(values: NDArray[np.generic]) -> tuple[Tensor, ...]:
    """Split an array into batches that fit into the processor's cache."""
    return torch.split(torch.from_numpy(values), _JUDGED_AT_ONCE)


def _precision(device: str) -> torch.autocast:
    """Autocast to bfloat16 if the processor supports it natively; emulation is slower than float32."""
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda" or torch.cpu._is_avx512_bf16_supported())


class _Optimizer:
    """Muon for convolutions, Nesterov momentum for the rest, decaying learning rates, look-ahead averaging."""

    def __init__(self, network: Network, recipe: Recipe, batch_size: int, steps: int) -> None:
        modules = list(network.modules())
        shifts = [module.bias for module in modules if isinstance(module, nn.BatchNorm2d)]
        convolutions = [module.weight for module in network.stages.modules() if isinstance(module, nn.Conv2d)]
        decay = 2e-6 * batch_size  # as in cifar10-airbench
        self.done, self._total = 0, recipe.epochs * steps
        self._network, self._symmetric = network, network.is_symmetric()
        self._parts: list[tuple[Nesterov | Muon, int]] = [  # with the step at which its rate reaches zero
            (
                Nesterov([cast("nn.Parameter", network.whiten.bias)], recipe.bias_lr, decay),
                recipe.whiten_epochs * steps,
            ),
            (Nesterov(shifts, recipe.bias_lr, decay), self._total),
            (Nesterov([network.head.weight], recipe.head_lr, decay), self._total),
            (Muon(convolutions, recipe.muon_lr), self._total),
        ]
        self._averages = [
            (value, value.clone()) for value in network.state_dict().values() if value.is_floating_point()
        ]

    def tensors(self) -> Iterator[Tensor]:
        """Tensors of the optimiser's state, in a fixed order."""
        for part, _ in self._parts:
            yield from part.velocities()
        yield from (slow for _, slow in self._averages)

    def step(self, loss: Tensor) -> None:
        """Compute the loss's gradients, update the weights, and clear the gradients."""
        loss.backward()  # type: ignore[no-untyped-call] # torch has no types for it
        if self._symmetric:
            self._network.average_mirrored()
        for part, until in self._parts:
            part.step(max(0.0, 1 - self.done / until))
        self.done += 1
        if self.done % _LOOK_AHEAD_EVERY == 0:
            self._lookahead(0.95**_LOOK_AHEAD_EVERY * (self.done / self._total) ** 3)
        if self.done == self._total >= _LOOK_AHEAD_EVERY:  # in shorter trainings the slow weights have not moved
            self._lookahead(1.0)

    @torch.no_grad()
    def _lookahead(self, inertia: float) -> None:
        """Move the slow weights towards the fast ones, and set the fast ones to them."""
        for fast, slow in self._averages:
            slow.lerp_(fast, 1 - inertia)
            fast.copy_(slow)
