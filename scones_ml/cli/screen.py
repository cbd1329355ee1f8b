"""What only a terminal shows: styles, bars and clocks. The one importer of rich."""

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
    """Standard error or standard output; what is printed to it is not wrapped, and not searched for markup."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def print_styled(to: Console, parts: Iterable[tuple[str, str]]) -> None:
    """Print one line, whose parts are texts with their styles."""
    to.print(Text.assemble(*parts))


def clock(to: Console) -> Progress:
    """The time that a step has taken so far; disappears when it is done."""
    return Progress(SpinnerColumn(), TimeElapsedColumn(), console=to, transient=True, disable=not to.is_terminal)


def bar(to: Console, unit: str = "") -> Progress:
    """A bar that disappears when it is done: how much, how fast where ``unit`` says of what, how long still."""
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
    """How many a second; what an earlier run had finished does not count."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Empty until there are two figures to tell it from."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {self._unit}/s" if speed else "")
