"""Escaping of external text for one line of a terminal or log.

File names may contain any bytes, and manifests any characters: a newline forges a second line, an escape sequence
controls the terminal, a right-to-left mark reverses a name, and bytes that are not UTF-8 cannot be printed.

Internal: may change without notice.
"""

from __future__ import annotations

from typing import Final

__all__ = ["printable"]

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JOINERS: Final = "\u200c\u200d"  # used in Persian and Hindi words, and in emoji
_BYTES: Final = range(0xDC80, 0xDD00)  # Python's surrogates for the undecodable bytes 80 to ff of a file name


def printable(text: str) -> str:
    r"""The text with unprintable characters escaped: ``caf\xe9.png`` for a name in Latin-1.

    Undecodable bytes and ASCII controls are ``\xHH``, other characters ``\uHHHH`` or ``\UHHHHHHHH``, and newline,
    return and tab have their short forms. Backslashes are kept, so the function is idempotent.
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
