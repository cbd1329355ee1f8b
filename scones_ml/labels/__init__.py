"""Better labels and fewer of them, as functions of a backend.

Which labels are probably wrong (:func:`check_labels`), which images to label next (:func:`label_next`), and a start
that needs fewer labels: a model that has seen drawings only (:func:`synthetic_model`).
"""

from __future__ import annotations

from scones_ml.labels.check import FOLDS, LabelCheck, NearDuplicates, SuspectLabel, check_labels, out_of_fold
from scones_ml.labels.drawings import synthetic_folder, synthetic_model
from scones_ml.labels.wanted import Wanted, label_next

__all__ = [
    "FOLDS",
    "LabelCheck",
    "NearDuplicates",
    "SuspectLabel",
    "Wanted",
    "check_labels",
    "label_next",
    "out_of_fold",
    "synthetic_folder",
    "synthetic_model",
]
