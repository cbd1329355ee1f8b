"""Monitoring: what captured requests tell about a model in service, without labels.

The names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_MODULES = {
    "accuracy": ("AccuracyEstimate", "estimate_accuracy"),
    "drift": ("Drift", "FigureDrift", "FirstAlarm"),
    "martingale": ("ConformalMartingale",),
    "reference": ("Reference", "make_reference", "read_reference", "write_reference"),
    "results": ("Monitoring",),
    "stream": ("MonitorRequest", "monitor"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
