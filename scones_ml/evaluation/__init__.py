"""Evaluation: metrics with intervals, calibration, the threshold, the report.

The names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scones_ml.evaluation.calibration import ReliabilityBin, fit_temperature, reliability, softmax
    from scones_ml.evaluation.intervals import Estimate, clopper_pearson, wilson
    from scones_ml.evaluation.metrics import Acceptance, ClassMetrics, Evaluation, evaluate
    from scones_ml.evaluation.report import (
        Answer,
        ClassifiedRow,
        DatasetFacts,
        ModelFacts,
        RunReport,
        answers,
        render_report,
    )
    from scones_ml.evaluation.threshold import ThresholdChoice, choose_threshold

__all__ = [
    "Acceptance",
    "Answer",
    "ClassMetrics",
    "ClassifiedRow",
    "DatasetFacts",
    "Estimate",
    "Evaluation",
    "ModelFacts",
    "ReliabilityBin",
    "RunReport",
    "ThresholdChoice",
    "answers",
    "choose_threshold",
    "clopper_pearson",
    "evaluate",
    "fit_temperature",
    "reliability",
    "render_report",
    "softmax",
    "wilson",
]

_MODULES = {
    "calibration": ("ReliabilityBin", "fit_temperature", "reliability", "softmax"),
    "intervals": ("Estimate", "clopper_pearson", "wilson"),
    "metrics": ("Acceptance", "ClassMetrics", "Evaluation", "evaluate"),
    "report": ("Answer", "ClassifiedRow", "DatasetFacts", "ModelFacts", "RunReport", "answers", "render_report"),
    "threshold": ("ThresholdChoice", "choose_threshold"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
