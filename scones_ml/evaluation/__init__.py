"""Statistics of predictions: metrics with intervals, calibration, thresholds, comparison.

Requires numpy, so modules that must start quickly import it inside functions.

The names that this package exports are public; its modules are internal and may change without notice.
"""

from __future__ import annotations

from scones_ml.evaluation.calibration import ReliabilityBin, fit_temperature, reliability, rescale, softmax
from scones_ml.evaluation.comparison import Comparison, compare
from scones_ml.evaluation.costs import (
    CostChoice,
    choose_threshold_for_costs,
    choose_threshold_for_coverage,
    threshold_for_costs,
    threshold_for_coverage,
)
from scones_ml.evaluation.intervals import Estimate, clopper_pearson, wilson
from scones_ml.evaluation.label_errors import LabelError, find_label_errors
from scones_ml.evaluation.metrics import (
    Acceptance,
    ClassMetrics,
    ConfusedPair,
    Evaluation,
    acceptance,
    coverage_at_accuracy,
    evaluate,
    top_k_accuracy,
)
from scones_ml.evaluation.near_duplicates import NearDuplicate, find_near_duplicates, grid_means
from scones_ml.evaluation.selection import choose_to_label
from scones_ml.evaluation.threshold import (
    ThresholdChoice,
    choose_threshold,
    choose_threshold_cross_fitted,
    choose_thresholds_per_class,
)
from scones_ml.evaluation.unlike import unlike_rows

__all__ = [
    "Acceptance",
    "ClassMetrics",
    "Comparison",
    "ConfusedPair",
    "CostChoice",
    "Estimate",
    "Evaluation",
    "LabelError",
    "NearDuplicate",
    "ReliabilityBin",
    "ThresholdChoice",
    "acceptance",
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
    "rescale",
    "softmax",
    "threshold_for_costs",
    "threshold_for_coverage",
    "top_k_accuracy",
    "unlike_rows",
    "wilson",
]
