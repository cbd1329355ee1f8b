"""Progress callbacks for long-running work."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "Steps", "no_progress", "no_steps"]

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


Steps = Callable[[str], None]
"""Called with a short description of the current step."""


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""


def no_steps(step: str) -> None:
    """Ignore steps."""
