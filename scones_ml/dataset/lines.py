"""Bounded line-by-line reading of UTF-8 text files, with or without a byte order mark."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Final

from scones_ml.errors import DatasetError

__all__ = ["first_line", "inside", "read_lines", "start_of_text", "whole_number"]

_MOST_BYTES: Final = 1 << 28  # of a file, whose rows are held in memory
_MOST_LINES: Final = 2_000_000
_LONGEST_LINE: Final = 1 << 20  # bytes
_LARGEST: Final = 999_999_999
_NUMBER: Final = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?(?P<exponent>\d+))?|[+-]?(?P<none>nan|inf(inity)?)", re.ASCII | re.I
)
_MOST_DIGITS, _LARGEST_EXPONENT = 40, 3  # digits; longer numbers are slow to parse and not labels
_QUOTED = 60  # characters of a line in a message


def start_of_text(start: bytes) -> bytes:
    """Start of a file without byte order mark and blank lines."""
    return start.removeprefix(codecs.BOM_UTF8).lstrip()


def first_line(start: bytes) -> str:
    """First non-blank line, from the first bytes of a file."""
    return start_of_text(start).partition(b"\n")[0].decode("utf-8", "replace").rstrip()


def read_lines(file: Path, name: str) -> Iterator[tuple[int, str]]:
    r"""Read lines with their numbers, from 1; lines end at ``\n`` only, which is kept; ``\r\n`` becomes ``\n``.

    Args:
        file: the file.
        name: name of the file for messages.

    Raises:
        DatasetError: the file cannot be read, is not UTF-8, or exceeds the limits; the message gives the line.
    """
    try:
        if (size := file.stat().st_size) > _MOST_BYTES:
            raise DatasetError(f"{name} has {size:,} bytes, more than the {_MOST_BYTES:,} allowed: split it into parts")
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(_LONGEST_LINE + 1):
                number += 1
                if number > _MOST_LINES:
                    raise DatasetError(f"{name} has more than {_MOST_LINES:,} lines: split it into parts")
                if len(line) > _LONGEST_LINE:
                    raise DatasetError(
                        f"{name} line {number} is longer than {_LONGEST_LINE:,} bytes: write one image a line"
                    )
                yield number, _text(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, name, number)
    except OSError as exc:
        raise DatasetError(f"cannot read {name}: {exc.strerror}") from exc


def _text(line: bytes, name: str, number: int) -> str:
    try:
        return line.replace(b"\r\n", b"\n").decode()
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{name} line {number} is not UTF-8: save the file as UTF-8") from exc


def whole_number(text: str) -> int | None:
    """Parse an integer label, ``"3"`` or ``"3.000000"``; None if it is not a number.

    Raises:
        ValueError: the number is not an integer, or not in 0 to 999,999,999.
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
    """Path of an image relative to a manifest's folder, with forward slashes.

    Args:
        folder: the manifest's folder; None if it came from an object store.
        image: path in the manifest.
        where: manifest and line, for messages.

    Raises:
        DatasetError: the path has backslashes, leads outside the folder, or is not a valid file name.
    """
    path = PurePosixPath(image)
    if "\\" in image and not (folder and _exists(folder / image)):
        raise DatasetError(
            f"{where}: path {image[:_QUOTED]!r} has backslashes: write {image.replace(chr(92), '/')[:_QUOTED]!r}"
        )
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise DatasetError(
            f"{where}: path {image[:_QUOTED]!r} leads outside the manifest's folder: move the image into it"
        )
    try:
        image.encode("utf-8", "surrogateescape")  # surrogates of undecodable file names are allowed
    except UnicodeEncodeError:
        image = "\0"
    if "\0" in image:
        raise DatasetError(f"{where}: {str(path)[:_QUOTED]!r} is not a valid file name")
    return str(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long or invalid
        return False
