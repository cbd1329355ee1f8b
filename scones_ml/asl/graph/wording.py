"""Durations, counts and statuses in words."""

from __future__ import annotations

from typing import Final

from scones_ml.asl.graph.outcomes import Iterations, Outcome, StateStatus

__all__ = ["STATUS_WORDS", "duration", "facts", "item_counts"]

STATUS_WORDS: Final[dict[StateStatus, str]] = {
    "succeeded": "succeeded",
    "caught": "caught error",
    "failed": "failed",
    "running": "running",
    "aborted": "aborted",
}
"""The displayed name of each status, in the order of the legend."""


def duration(seconds: float) -> str:
    """A duration with two or three digits: ``<1 ms``, ``12 ms``, ``1.5 s``, ``2 min 5 s``, ``3 h 10 min``."""
    if seconds < 0.00095:
        return "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def item_counts(iterations: Iterations) -> str:
    """The outcomes of a Map's items: ``3 items``, ``12 items, 1 failed``, ``4 of 12 items``."""
    total, ended = iterations.total, iterations.succeeded + iterations.failed
    items = f"{total:,} {'item' if total == 1 else 'items'}"
    if 0 < ended < total:
        items = f"{ended:,} of {items}"
    return f"{items}, {iterations.failed:,} failed" if iterations.failed else items


def facts(outcome: Outcome) -> list[str]:
    """Items, visits and duration of a state, as short texts."""
    found = [item_counts(outcome.iterations)] if outcome.iterations and outcome.iterations.total else []
    if outcome.visits > 1:
        found.append(f"{outcome.visits:,} visits")
    if outcome.seconds is not None:
        found.append(duration(outcome.seconds))
    return found
