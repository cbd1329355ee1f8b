"""How things look: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len
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

from scones_ml.ports import Progress as ProgressCallback

if TYPE_CHECKING:
    from scones_ml.evaluation import Estimate

__all__ = ["StageLines", "bar", "figure", "out", "print_json", "print_table", "progress", "say", "steps"]

out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)
_NAME = 11


def say(text: str = "", style: str | None = None) -> None:
    """One line on standard error: what goes on, not what was asked for."""
    _err.print(Text(text, style=style or ""))


def print_json(document: object) -> None:
    """The one document of ``--json`` on standard output."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """An aligned table on standard output.

    Args:
        columns: headings.
        rows: cells, as they are to be read.
        right: headings of the columns that are aligned to the right (numbers).
    """
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    for number, cells in enumerate((columns, *rows)):
        padded = [
            " " * (width - cell_len(cell)) + cell if column in right else cell + " " * (width - cell_len(cell))
            for cell, width, column in zip(cells, widths, columns, strict=True)
        ]
        out.print(Text("   ".join(padded).rstrip(), style="bold" if number == 0 else ""))


def figure(estimate: Estimate) -> tuple[str, str]:
    """A share and its interval as two cells, in percent."""
    return f"{estimate.value:.1%}", f"{estimate.low:.1%} to {estimate.high:.1%}"


@contextmanager
def progress(what: str, unit: str = "") -> Iterator[ProgressCallback]:
    """A progress bar on standard error while the block runs; silent where it is no terminal.

    Args:
        what: goes on.
        unit: what is counted; where it is given, the bar tells how many of them there are in a second.
    """
    with bar(unit) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """A line for each step on standard error; on a terminal a clock runs below the present one."""
    clock = Progress(SpinnerColumn(), TimeElapsedColumn(), console=_err, transient=True, disable=not _err.is_terminal)
    with clock:
        task = clock.add_task("", total=None)

        def step(text: str) -> None:
            say(f"  {text}")
            clock.reset(task)

        yield step


def bar(unit: str = "") -> Progress:
    """A bar that disappears when it is done: how much, how fast where ``unit`` says of what, how long still."""
    return Progress(
        TextColumn("  {task.description:<9}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        *([_Speed(unit)] if unit else []),
        TimeRemainingColumn(compact=True),
        console=_err,
        transient=True,
        disable=not _err.is_terminal,
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


class StageLines:
    """One line per stage, with its duration; a progress bar while it runs."""

    def __init__(self) -> None:
        self._text = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[ProgressCallback]:
        """Show a bar, then the finished line; a stage that fails leaves no line."""
        started = time.perf_counter()
        self._text = ""
        with progress(name) as callback:
            yield callback
        line = Text(f"  {name:<{_NAME}}", style="bold")
        line.append(f"{time.perf_counter() - started:6.1f} s   ", style="dim")
        line.append(self._text, style="not bold")
        _err.print(line)

    def said(self, text: str) -> None:
        """What the finished line will say."""
        self._text = text
