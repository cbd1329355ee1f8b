"""Our state machine definitions, built from the states of `scones_ml.asl`.

``python -m scones_ml.workflows image_classification`` prints one as Amazon States Language.

The names that this package exports are public; its modules are internal and may change without notice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from scones_ml.asl import StateMachine
from scones_ml.workflows.batch_classification import batch_classification
from scones_ml.workflows.image_classification import THRESHOLD_ERROR, image_classification

__all__ = ["THRESHOLD_ERROR", "WORKFLOWS", "batch_classification", "image_classification"]

WORKFLOWS: Final[Mapping[str, Callable[[], StateMachine]]] = {
    "image_classification": image_classification,
    "batch_classification": batch_classification,
}
"""Every workflow by its name."""
