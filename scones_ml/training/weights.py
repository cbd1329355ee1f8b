"""Weights of a trained network for fine-tuning, stored beside the served graph.

``weights.npz`` holds the network before folding for serving, as plain numpy arrays: reading it runs no code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from scones_ml.errors import TrainingError
from scones_ml.inference.model import MODEL_WEIGHTS, read_card, read_file
from scones_ml.npz import BROKEN, read_arrays, write_arrays
from scones_ml.training.fit import Fitted
from scones_ml.training.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["initial", "to_weights"]

_STATISTICS = ("mean", "deviation")


def to_weights(fitted: Fitted) -> bytes:
    """Contents of ``weights.npz``; deterministic."""
    tensors = fitted.network.state_dict() | {"mean": fitted.mean, "deviation": fitted.deviation}
    return write_arrays({name: value.cpu().numpy() for name, value in tensors.items()})


def initial(model: Path, labels: Sequence[str], size: int, widths: tuple[int, int, int], device: str = "cpu") -> Fitted:
    """Network initialised from a model.

    Output weights of shared classes are kept, whatever their order; those of new classes start from zero. The features
    are always kept.

    Args:
        model: model folder or ``model.tar.gz``.
        labels: K class names of the new training.
        size: side of its images, in pixels.
        widths: channels of the stages.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        ConfigurationError: the path is not a model, or the model has no weights.
        TrainingError: the model has another input size or architecture.
    """
    card = read_card(model)
    if card.input_size != size:
        raise TrainingError(
            f"the model {model} takes images of {card.input_size} pixels, those of the data set have {size}: "
            f"stage it with --image-size {card.input_size}"
        )
    try:
        arrays = read_arrays(read_file(model, MODEL_WEIGHTS))
    except BROKEN as exc:
        raise TrainingError(f"the model {model}: {MODEL_WEIGHTS} cannot be read; train the model again") from exc
    if not {*_STATISTICS, "head.weight", "whiten.weight"} <= set(arrays):
        raise TrainingError(f"the model {model}: {MODEL_WEIGHTS} is incomplete; train the model again")
    known = arrays["head.weight"]
    if (
        known.ndim != 2
        or len(known) != len(card.labels)
        or any(value.dtype.kind not in "fi" for value in arrays.values())
    ):
        raise TrainingError(f"the model {model}: {MODEL_WEIGHTS} does not match the card; train the model again")
    head = np.zeros((len(labels), known.shape[1]), known.dtype)
    for row, label in enumerate(labels):
        if label in card.labels:
            head[row] = known[card.labels.index(label)]
    if arrays["whiten.weight"].shape[2:] == (2, 2):  # of version 0.1.0: the same pixels in a kernel of 3x3
        arrays["whiten.weight"] = np.pad(arrays["whiten.weight"], ((0, 0), (0, 0), (1, 0), (1, 0)))
    network = Network(len(labels), size, widths)
    expected = network.state_dict()
    found = {name: torch.from_numpy(value) for name, value in (arrays | {"head.weight": head}).items()}
    statistics = [found.pop(name) for name in _STATISTICS]
    if {name: value.shape for name, value in found.items()} != {name: value.shape for name, value in expected.items()}:
        raise TrainingError(
            f"the model {model} has another architecture: use the preset it was trained with, or leave out --init"
        )
    network.load_state_dict(found)
    return Fitted(
        # mypy: torch's types know memory_format for tensors, not for a module.
        network.to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]
        *(value.to(device) for value in statistics),
    )
