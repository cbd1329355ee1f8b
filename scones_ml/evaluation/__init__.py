"""Evaluation: metrics with intervals, calibration, the threshold, the report.

The names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scones_ml.evaluation.bill import (
        Bill,
        Crossing,
        DesignBill,
    )
    from scones_ml.evaluation.calibration import (
        ReliabilityBin,
        fit_temperature,
        reliability,
        rescale,
        softmax,
    )
    from scones_ml.evaluation.comparison import (
        Comparison,
        compare,
    )
    from scones_ml.evaluation.costs import (
        CostChoice,
        choose_threshold_for_costs,
        choose_threshold_for_coverage,
        threshold_for_costs,
        threshold_for_coverage,
    )
    from scones_ml.evaluation.facts import (
        Answer,
        ClassifiedRow,
        DatasetFacts,
        ModelFacts,
        RunReport,
    )
    from scones_ml.evaluation.intervals import (
        Estimate,
        clopper_pearson,
        wilson,
    )
    from scones_ml.evaluation.label_errors import (
        LabelError,
        find_label_errors,
    )
    from scones_ml.evaluation.metrics import (
        Acceptance,
        ClassMetrics,
        Evaluation,
        acceptance,
        coverage_at_accuracy,
        evaluate,
        top_k_accuracy,
    )
    from scones_ml.evaluation.near_duplicates import (
        NearDuplicate,
        find_near_duplicates,
    )
    from scones_ml.evaluation.report import (
        answers,
        render_report,
        telling,
    )
    from scones_ml.evaluation.selection import (
        choose_to_label,
    )
    from scones_ml.evaluation.threshold import (
        ThresholdChoice,
        choose_threshold,
        choose_threshold_cross_fitted,
        choose_thresholds_per_class,
    )
    from scones_ml.evaluation.thumbnails import (
        grid_means,
    )

__all__ = [
    "Acceptance",
    "Answer",
    "Bill",
    "ClassMetrics",
    "ClassifiedRow",
    "Comparison",
    "CostChoice",
    "Crossing",
    "DatasetFacts",
    "DesignBill",
    "Estimate",
    "Evaluation",
    "LabelError",
    "ModelFacts",
    "NearDuplicate",
    "ReliabilityBin",
    "RunReport",
    "ThresholdChoice",
    "acceptance",
    "answers",
    "choose_threshold",
    "choose_threshold_cross_fitted",
    "choose_threshold_for_costs",
    "choose_threshold_for_coverage",
    "choose_thresholds_per_class",
    "choose_to_label",
    "clopper_pearson",
    "compare",
    "coverage_at_accuracy",
    "evaluate",
    "find_label_errors",
    "find_near_duplicates",
    "fit_temperature",
    "grid_means",
    "reliability",
    "render_report",
    "rescale",
    "softmax",
    "telling",
    "threshold_for_costs",
    "threshold_for_coverage",
    "top_k_accuracy",
    "wilson",
]

_MODULES = {
    "bill": ("Bill", "Crossing", "DesignBill"),
    "calibration": ("ReliabilityBin", "fit_temperature", "reliability", "rescale", "softmax"),
    "comparison": ("Comparison", "compare"),
    "costs": (
        "CostChoice",
        "choose_threshold_for_costs",
        "choose_threshold_for_coverage",
        "threshold_for_costs",
        "threshold_for_coverage",
    ),
    "facts": ("Answer", "ClassifiedRow", "DatasetFacts", "ModelFacts", "RunReport"),
    "intervals": ("Estimate", "clopper_pearson", "wilson"),
    "label_errors": ("LabelError", "find_label_errors"),
    "metrics": (
        "Acceptance",
        "ClassMetrics",
        "Evaluation",
        "acceptance",
        "coverage_at_accuracy",
        "evaluate",
        "top_k_accuracy",
    ),
    "near_duplicates": ("NearDuplicate", "find_near_duplicates"),
    "report": ("answers", "render_report", "telling"),
    "selection": ("choose_to_label",),
    "threshold": (
        "ThresholdChoice",
        "choose_threshold",
        "choose_threshold_cross_fitted",
        "choose_thresholds_per_class",
    ),
    "thumbnails": ("grid_means",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
