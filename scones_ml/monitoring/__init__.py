"""Monitoring of a model in service from captured requests, without labels.

It needs numpy, as :mod:`scones_ml.evaluation` does.

The names that this package exports are public; its modules are internal and may change without notice.
"""

from __future__ import annotations

from scones_ml.monitoring.accuracy import AccuracyEstimate, estimate_accuracy
from scones_ml.monitoring.drift import Drift, FigureDrift, FirstAlarm
from scones_ml.monitoring.martingale import ConformalMartingale
from scones_ml.monitoring.reference import Reference, make_reference, read_reference, write_reference
from scones_ml.monitoring.results import Monitoring
from scones_ml.monitoring.stream import MonitorRequest, monitor

__all__ = [
    "AccuracyEstimate",
    "ConformalMartingale",
    "Drift",
    "FigureDrift",
    "FirstAlarm",
    "MonitorRequest",
    "Monitoring",
    "Reference",
    "estimate_accuracy",
    "make_reference",
    "monitor",
    "read_reference",
    "write_reference",
]
