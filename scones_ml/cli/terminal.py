"""Output: results on standard output, everything else on standard error.

Styles and progress bars appear on terminals only; elsewhere lines are plain text and rich is not imported.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import typer

from scones_ml.cli.fitting import columns_of, display_width, fitted, wrapped
from scones_ml.cli.invocation import as_typed, command
from scones_ml.ports import Progress, no_progress
from scones_ml.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from scones_ml.evaluation import Estimate

__all__ = [
    "Lines",
    "StageLines",
    "figure",
    "out",
    "print_json",
    "print_table",
    "progress",
    "say",
    "say_command",
    "say_next",
    "say_table",
    "steps",
]

_NAME = 11  # characters: the longest stage, "threshold", and two spaces


class Lines:
    """A standard stream, written line by line.

    Args:
        stderr: standard error instead of standard output.
    """

    def __init__(self, stderr: bool) -> None:
        self._stderr = stderr

    @property
    def console(self) -> Console | None:
        """Terminal console; None without a terminal, unless colours are forced."""
        stream = sys.stderr if self._stderr else sys.stdout
        asked = os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE")  # both are understood by rich
        return self._console if stream and (asked or stream.isatty()) else None  # a closed stream is None

    @property
    def animated(self) -> Console | None:
        """Console for what moves; None without a terminal: forced colours, in a notebook or a CI log, move nothing."""
        stream = sys.stderr if self._stderr else sys.stdout
        return self.console if stream and stream.isatty() else None

    @cached_property
    def _console(self) -> Console:
        from scones_ml.cli.screen import console

        return console(self._stderr)

    @property
    def columns(self) -> int | None:
        """Width of the terminal; None without a terminal."""
        return columns_of(sys.stderr if self._stderr else sys.stdout)

    def print(self, *parts: str | tuple[str, str], hang: int = 0) -> None:
        """Print one line with unprintable characters escaped; on a terminal the last part is wrapped.

        Args:
            parts: texts, or texts with styles.
            hang: blanks before each further line.
        """
        *first, (text, style) = _clean(parts or ("",))
        text = as_typed(text)
        start = sum(display_width(part) for part, _ in first)
        columns = self.columns
        if columns and "\n" not in text:
            text = wrapped(text, columns, start, hang)
        self._write([*first, (text, style)])

    def print_whole(self, *parts: str | tuple[str, str]) -> None:
        """Print one line as it is, unprintable characters escaped: a row of a table, or a command to be copied."""
        self._write(_clean(parts))

    def _write(self, clean: Sequence[tuple[str, str]]) -> None:
        if self.console:
            from scones_ml.cli.screen import print_styled

            print_styled(self.console, clean)
        else:
            typer.echo("".join(text for text, _ in clean), err=self._stderr)


def _clean(parts: Sequence[str | tuple[str, str]]) -> list[tuple[str, str]]:
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    return [(printable(text), style) for text, style in styled]


out = Lines(stderr=False)
_err = Lines(stderr=True)


def say(text: str = "", style: str = "") -> None:
    """Print one line of progress or advice on standard error."""
    _err.print((text, style))


def say_next(*commands: Sequence[object]) -> None:
    """Print the commands that come next on standard error, a line each; none is wrapped, so that it can be copied.

    Args:
        commands: arguments of ``scones``, such as ``("run", path)``.
    """
    for number, arguments in enumerate(commands):
        say_command("      " if number else "next: ", command(*arguments))


def say_command(before: str, text: str) -> None:
    """Print a command on standard error, in a line that is not wrapped.

    Args:
        before: what stands before it.
        text: the command as a shell reads it.
    """
    _err.print_whole(before, text)


def print_json(document: object) -> None:
    """Print the ``--json`` document on standard output, with unprintable characters as JSON escapes."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        text = "".join(c if c == "\n" or printable(c) == c else json.dumps(c)[1:-1] for c in text)
    typer.echo(text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print an aligned table on standard output.

    Args:
        columns: headings.
        rows: formatted cells.
        right: headings of the columns that are aligned to the right (numbers).
    """
    to_right = [column in right for column in columns]
    for number, line in enumerate(_aligned((columns, *rows), to_right, out.columns)):
        out.print_whole((line, "bold" if number == 0 else ""))


def say_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print aligned lines without headings on standard error.

    Args:
        rows: formatted cells.
        right: numbers of the columns that are aligned to the right, from 0.
    """
    for line in _aligned(rows, [column in right for column in range(len(rows[0]))], _err.columns):
        _err.print_whole(line)


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[bool], columns: int | None) -> Iterator[str]:
    rows = [[printable(cell) for cell in row] for row in rows]
    if columns:
        rows = fitted(rows, columns, right)
    widths = [max(map(display_width, cells)) for cells in zip(*rows, strict=True)]
    for cells in rows:
        blanks = [" " * (width - display_width(cell)) for cell, width in zip(cells, widths, strict=True)]
        padded = [
            blank + cell if to_right else cell + blank
            for cell, blank, to_right in zip(cells, blanks, right, strict=True)
        ]
        yield "   ".join(padded).rstrip()


def figure(estimate: Estimate) -> tuple[str, str]:
    """Share and interval as two cells in percent; a dash where undefined."""
    if math.isnan(estimate.value):
        return "–", ""
    return f"{estimate.value:.1%}", f"{estimate.low:.1%} to {estimate.high:.1%}"


@contextmanager
def progress(what: str, unit: str = "", console: Console | None = None) -> Iterator[Progress]:
    """Show a progress bar on standard error while the block runs; nothing without a terminal.

    Args:
        what: description of the work.
        unit: counted unit; if given, the bar shows its number per second.
        console: target console; None for standard error.
    """
    console = console or _err.animated
    if console is None:
        yield no_progress
        return
    from scones_ml.cli.screen import bar

    with bar(console, unit) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Print a line per step on standard error, with a running clock on a terminal."""
    console = _err.animated
    if console is None:
        yield lambda text: say(f"  {text}")
        return
    from scones_ml.cli.screen import clock

    with clock(console) as shown:
        task = shown.add_task("", total=None)

        def step(text: str) -> None:
            say(f"  {text}")
            shown.reset(task)

        yield step


class StageLines:
    """One line per stage, with its duration; a progress bar while it runs."""

    def __init__(self) -> None:
        self._text = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Show a bar, then the finished line; a stage that fails leaves no line."""
        started = time.perf_counter()
        self._text = ""
        with progress(name) as callback:
            yield callback
        took = f"{time.perf_counter() - started:6.1f} s   "
        head = f"  {name:<{_NAME}}"
        _err.print((head, "bold"), (took, "dim"), self._text, hang=len(head) + len(took))

    def said(self, text: str) -> None:
        """Set the text of the finished line."""
        self._text = text
