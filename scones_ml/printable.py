"""Text from outside, made fit for one line of a terminal or a log.

File names may hold any bytes, and manifests any characters: a newline forges a second line, an escape sequence repaints
the terminal, a right-to-left mark turns a name around, and a byte that is no UTF-8 cannot be printed at all.

Internal: may change without notice.
"""

from __future__ import annotations

from typing import Final

__all__ = ["printable"]

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINERS: Final = "\u200c\u200d"  # part of words in Persian and Hindi, and of emoji
_BYTES: Final = range(0xDC80, 0xDD00)  # what Python decodes a file name's undecodable bytes 80 to ff to


def printable(text: str) -> str:
    r"""The text with every character that is not to be printed escaped: ``caf\xe9.png`` for a name in Latin-1.

    Undecodable bytes and ASCII controls are ``\xHH``, other characters ``\uHHHH`` or ``\UHHHHHHHH``, and newline,
    return and tab have their short forms. Backslashes stay, so applying it again changes nothing.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in _JOINERS else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x80 or code in _BYTES:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
