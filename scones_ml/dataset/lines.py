"""Lines of text files from elsewhere: read one by one, within bounds, as UTF-8 with or without its mark."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Final

from scones_ml.errors import DatasetError

__all__ = ["first_line", "inside", "read_lines", "start_of_text", "whole_number"]

_MOST_BYTES: Final = 1 << 28  # of a file; what its rows name is held in memory
_MOST_LINES: Final = 2_000_000
_LONGEST_LINE: Final = 1 << 20  # bytes
_LARGEST: Final = 999_999_999
_NUMBER: Final = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?(?P<exponent>\d+))?|[+-]?(?P<none>nan|inf(inity)?)", re.ASCII | re.I
)
_MOST_DIGITS, _LARGEST_EXPONENT = 40, 3  # digits; what is longer costs time and is no label
_QUOTED = 60  # characters of a line in a message


def start_of_text(start: bytes) -> bytes:
    """What a file begins with, behind a byte order mark and blank lines."""
    return start.removeprefix(codecs.BOM_UTF8).lstrip()


def first_line(start: bytes) -> str:
    """The first line with something in it of a file that begins like this."""
    return start_of_text(start).partition(b"\n")[0].decode("utf-8", "replace").rstrip()


def read_lines(file: Path, name: str) -> Iterator[tuple[int, str]]:
    """Each line with its number, from 1; lines end at newlines alone, which stay; a return before one goes.

    Args:
        file: the file.
        name: what to call it in messages.

    Raises:
        DatasetError: it cannot be read, is no UTF-8, or is beyond the bounds; names the line.
    """
    try:
        if (size := file.stat().st_size) > _MOST_BYTES:
            raise DatasetError(f"{name} has {size:,} bytes, and a manifest may have {_MOST_BYTES:,}: split it in parts")
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(_LONGEST_LINE + 1):
                number += 1
                if number > _MOST_LINES:
                    raise DatasetError(f"{name} has more than {_MOST_LINES:,} lines: split it in parts")
                if len(line) > _LONGEST_LINE:
                    raise DatasetError(f"{name} line {number} is longer than {_LONGEST_LINE:,} bytes: one image a line")
                yield number, _text(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, name, number)
    except OSError as exc:
        raise DatasetError(f"cannot read {name}: {exc.strerror}") from exc


def _text(line: bytes, name: str, number: int) -> str:
    try:
        return line.replace(b"\r\n", b"\n").decode()
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{name} line {number} is no text in UTF-8: save the file as UTF-8") from exc


def whole_number(text: str) -> int | None:
    """A label, ``"3"`` or ``"3.000000"``; None when it is no number.

    Raises:
        ValueError: a number that is no label: not whole, below 0 or beyond 999,999,999.
    """
    found = _NUMBER.fullmatch(text.strip())
    if not found:
        return None
    if found["none"] or len(found[0]) > _MOST_DIGITS or len(found["exponent"] or "") > _LARGEST_EXPONENT:
        raise ValueError(text)
    value = Decimal(found[0])
    if not 0 <= value <= _LARGEST or value != value.to_integral_value():
        raise ValueError(text)
    return int(value)


def inside(folder: Path | None, image: str, where: str) -> str:
    """The path of an image below a manifest's folder, with forward slashes.

    Args:
        folder: the manifest's folder; None where it came from a store.
        image: as the manifest names it.
        where: the manifest and its line, for messages.

    Raises:
        DatasetError: it has backslashes, leads outside, or can be no file's name.
    """
    path = PurePosixPath(image)
    if "\\" in image and not (folder and _exists(folder / image)):
        raise DatasetError(
            f"{where} names {image[:_QUOTED]!r} with backslashes: write {image.replace(chr(92), '/')[:_QUOTED]!r}"
        )
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise DatasetError(f"{where} names a file outside of its folder: {image[:_QUOTED]!r}")
    try:
        image.encode("utf-8", "surrogateescape")  # what a file name's undecodable bytes are read to may stay
    except UnicodeEncodeError:
        image = "\0"
    if "\0" in image:
        raise DatasetError(f"{where} names a file that cannot be: {str(path)[:_QUOTED]!r}")
    return str(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or a name that cannot be
        return False
