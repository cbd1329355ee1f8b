"""Text that fits a terminal: lines break between words, names are shortened in the middle, numbers stay whole."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final, TextIO

__all__ = ["columns_of", "display_width", "fitted", "shortened", "wrapped"]

# Commands, names and percentages stay whole; the blanks before a word are kept, except where a line breaks.
_WORD: Final = re.compile(r"(\s*)((?:`[^`]*`|'[^']*'|\d[\d.,]* %|\S)\S*)")
_GAP: Final = 3  # blanks between the columns of a table
_NARROWEST: Final = 16  # columns that a name or a text keeps


def columns_of(stream: TextIO | None) -> int | None:
    """The width of the terminal behind a stream in columns, COLUMNS if that is set; None for a pipe or a file."""
    if stream is None or not stream.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    try:
        return (int(given) if given.isdigit() else 0) or os.get_terminal_size(stream.fileno()).columns or None
    except OSError:  # it has no file descriptor
        return None


def display_width(text: str) -> int:
    """Columns of a terminal that a text takes: an ideograph takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrapped(text: str, columns: int, start: int = 0, hang: int = 0) -> str:
    """Break a text into lines between its words; a word that is longer than a line stays whole.

    Args:
        text: one line.
        columns: of the terminal.
        start: columns that are taken before the text.
        hang: blanks before each further line.
    """
    if start + display_width(text) <= columns:
        return text
    indent = text[: len(text) - len(text.lstrip())]
    lines, line, used = [], "", start
    for blanks, word in _WORD.findall(text):
        width = display_width(word)
        if line and used + len(blanks) + width > columns:
            lines.append(line)
            line, used = f"{indent}{' ' * hang}{word}", len(indent) + hang + width
        else:
            line, used = f"{line}{blanks}{word}", used + len(blanks) + width
    return "\n".join([*lines, line])


def shortened(name: str, columns: int) -> str:
    """A name with its middle left out where it is too long: ``"motor…cle"``; both ends tell names apart."""
    if display_width(name) <= columns:
        return name
    tail = (columns - 1) // 2
    head = columns - 1 - tail
    while head > 1 and display_width(name[:head] + name[len(name) - tail :]) >= columns:
        head, tail = head - 1, max(1, tail - 1)
    return f"{name[:head]}…{name[len(name) - tail :]}"


def fitted(rows: Sequence[Sequence[str]], columns: int, right: Sequence[bool]) -> list[Sequence[str]]:
    """The rows of a table that are to fit a terminal: the last column of text is wrapped, then names are shortened.

    A table that is too wide with the shortest names, too, stays so: no figure is left out.

    Args:
        rows: cells, headings first.
        columns: of the terminal.
        right: which columns are aligned to the right: numbers, which stay whole.
    """
    widths = [max(map(display_width, cells)) for cells in zip(*rows, strict=True)]
    room = columns - _GAP * (len(widths) - 1)
    last = len(widths) - 1
    text = not right[last] and any(" " in row[last] for row in rows)
    if text:
        widths[last] = min(widths[last], max(_NARROWEST, room - sum(widths[:last])))
    names = [number for number in range(len(widths)) if not right[number] and not (text and number == last)]
    while sum(widths) > room and names:
        widest = max(names, key=lambda number: widths[number])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    found: list[Sequence[str]] = []
    for row in rows:
        cells = [
            shortened(cell, width) if number in names else cell
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines = wrapped(row[last], widths[last]).split("\n") if text else [cells[last]]
        rest = [[""] * last + [line] for line in lines[1:]]
        found += [[*cells[:last], lines[0]], *rest]
    return found
