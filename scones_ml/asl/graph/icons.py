"""Small line drawings, 16 by 16 pixels: one for each type of state, and one for each status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scones_ml.asl.graph.outcomes import StateStatus

__all__ = ["STATES", "STATUSES"]

STATES: Final[Mapping[str, str]] = {
    "Task": "M2.5 3.5h11v9h-11zM5 6.5l2 1.5-2 1.5M8.5 10h3",
    "Choice": "M8 1.5 14.5 8 8 14.5 1.5 8zM8 5v3.5M8 10.8v.4",
    "Pass": "M2 8h11M9.5 4.5 13 8l-3.5 3.5",
    "Wait": "M8 2a6 6 0 1 1 0 12A6 6 0 1 1 8 2zM8 4.5V8l2.5 1.5",
    "Succeed": "M8 2a6 6 0 1 1 0 12A6 6 0 1 1 8 2zM5.3 8.2l2 2 3.4-4",
    "Fail": "M8 2a6 6 0 1 1 0 12A6 6 0 1 1 8 2zM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
    "Parallel": "M8 1.5V5M3 14.5V8q0-3 3-3h4q3 0 3 3v6.5M8 5v9.5",
    "Map": "M5 5h9v9H5zM2 11V2h9M7.5 8h4M7.5 11h4",
}
"""Paths of the types of state, stroked."""

STATUSES: Final[Mapping[StateStatus, str]] = {
    "succeeded": "M4.3 8.3l2.5 2.5 5-5.6",
    "caught": "M8 4v5M8 11.4v.6",
    "failed": "M5 5l6 6M11 5l-6 6",
    "running": "M6.3 4.8 11 8l-4.7 3.2z",
    "aborted": "M4.5 8h7",
}
"""Paths of the statuses, stroked in white on a disc."""
