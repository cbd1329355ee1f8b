"""The width of text, estimated without a font, and text shortened to a width."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

__all__ = ["shorten", "text_width", "wrap"]

_ELLIPSIS: Final = "\u2026"

# Widths in ems of a wide face (DejaVu Sans): what fits by these fits in Helvetica, Arial, Segoe UI, Roboto and San
# Francisco, too.
_GROUPS: Final = {
    0.29: "ijl'|",
    0.34: "I .,:;/\\!",
    0.40: "fJrt()[]-`",
    0.50: '"_*',
    0.56: "czsk",
    0.70: "ABCEFKLPRSTVXYZ$&?",
    0.80: "DGHNOQUw",
    0.86: "M+=<>~^#",
    0.99: "mW%@" + _ELLIPSIS,
}
_WIDTHS: Final = {character: width for width, characters in _GROUPS.items() for character in characters}
_OTHER_ASCII: Final = 0.64
_OTHER: Final = 0.75
_WIDE: Final = 1.05  # of East Asian text and emoji
_BOLD: Final = 1.09


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The maximum width of `text` in pixels, in a common sans serif face of `size` pixels."""
    return sum(map(_ems, text)) * size * (_BOLD if bold else 1)


def _ems(character: str) -> float:
    if character in _WIDTHS:
        return _WIDTHS[character]
    if character.isascii():
        return _OTHER_ASCII
    if unicodedata.combining(character):
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" or ord(character) > 0x2E7F else _OTHER


def shorten(text: str, most: float, size: float, *, bold: bool = False) -> str:
    """`text`, with an ellipsis in place of its middle if it is wider than `most` pixels."""
    if text_width(text, size, bold=bold) <= most:
        return text
    room = most - text_width(_ELLIPSIS, size, bold=bold)
    head = tail = 0
    used = 0.0
    while head + tail < len(text):
        at = head if head <= tail else len(text) - tail - 1
        used += text_width(text[at], size, bold=bold)
        if used > room:
            break
        head, tail = (head + 1, tail) if head <= tail else (head, tail + 1)
    return text[:head].rstrip() + _ELLIPSIS + text[len(text) - tail :].lstrip()


def wrap(text: str, most: float, size: float, lines: int) -> Sequence[str]:
    """`text` on at most `lines` lines of `most` pixels; the last line ends in an ellipsis if the text is cut."""
    words = text.split()
    wrapped: list[str] = []
    while words:
        if len(wrapped) == lines - 1:
            return [*wrapped, _cut(" ".join(words), most, size)]
        line = words.pop(0)
        while words and text_width(f"{line} {words[0]}", size) <= most:
            line += " " + words.pop(0)
        wrapped.append(shorten(line, most, size))
    return wrapped


def _cut(text: str, most: float, size: float) -> str:
    if text_width(text, size) <= most:
        return text
    end = len(text)
    while end and text_width(text[:end].rstrip() + _ELLIPSIS, size) > most:
        end -= 1
    return text[:end].rstrip() + _ELLIPSIS
