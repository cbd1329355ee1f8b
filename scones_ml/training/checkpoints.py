"""Checkpoints for resuming interrupted trainings, as on spot instances.

SageMaker copies the folder to S3 while the job runs, and back before a restart. A checkpoint holds plain arrays:
reading it runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from scones_ml import strict_json
from scones_ml.npz import BROKEN, read_arrays, write_arrays

if TYPE_CHECKING:
    from scones_ml.training.fit import State

__all__ = ["Checkpoint", "Checkpoints"]

_FILE: Final = "checkpoint.npz"
_ABOUT: Final = "about"


@dataclass(frozen=True)
class Checkpoint:
    """State of a training after an epoch.

    Attributes:
        state: state of ``Training``.
        history: figures of the epochs so far.
    """

    state: State
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Checkpoints:
    """The newest checkpoint of one training.

    Attributes:
        folder: where it is kept.
        training: identity of the training; checkpoints of others are ignored.
    """

    folder: Path
    training: Mapping[str, object]

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint atomically."""
        about = json.dumps({"training": self.training, "history": checkpoint.history})
        arrays = {name: value.cpu().numpy() for name, value in checkpoint.state.items()}
        temporary = self.folder / f".{_FILE}.part"
        temporary.write_bytes(write_arrays(arrays | {_ABOUT: np.array(about)}))
        temporary.replace(self.folder / _FILE)

    def load(self) -> Checkpoint | None:
        """Load the checkpoint; None if it is missing, unreadable or another training's."""
        try:
            arrays = read_arrays((self.folder / _FILE).read_bytes())
            about = strict_json.parse(str(arrays.pop(_ABOUT)))
        except (*BROKEN, KeyError):
            return None
        if not isinstance(about, dict) or about.get("training") != json.loads(json.dumps(self.training)):
            return None
        return Checkpoint({name: torch.from_numpy(value) for name, value in arrays.items()}, about["history"])
