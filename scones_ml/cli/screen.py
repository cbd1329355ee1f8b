"""Terminal-only output: styles, progress bars and clocks. The only importer of rich."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["bar", "clock", "console", "print_styled"]


def console(stderr: bool) -> Console:
    """Console on standard error or output, without wrapping and markup."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def print_styled(to: Console, parts: Iterable[tuple[str, str]]) -> None:
    """Print one line of styled parts."""
    to.print(Text.assemble(*parts))


def clock(to: Console) -> Progress:
    """Elapsed time of a step; disappears when it is done."""
    return Progress(SpinnerColumn(), TimeElapsedColumn(), console=to, transient=True, disable=not to.is_terminal)


def bar(to: Console, unit: str = "") -> Progress:
    """Transient progress bar: share done, speed in ``unit`` per second, time left."""
    return Progress(
        TextColumn("  {task.description:<9}"),  # as wide as the longest, "calibrate" and "reference"
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        *([_Speed(unit)] if unit else []),
        TimeRemainingColumn(compact=True),
        console=to,
        transient=True,
        disable=not to.is_terminal,
    )


class _Speed(ProgressColumn):
    """Speed column; work of an earlier run is not counted."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Speed, or empty until there are two samples."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {self._unit}/s" if speed else "")
