"""How long work tells of itself."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "Steps", "no_progress", "no_steps"]

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""


Steps = Callable[[str], None]
"""Called with a few words on what goes on now."""


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""


def no_steps(step: str) -> None:
    """Ignore steps."""
