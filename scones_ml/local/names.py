r"""File names as keys: any bytes that Linux and macOS allow in a name, as text that S3, JSON and UTF-8 can hold.

Python decodes an invalid byte in a name to a lone surrogate, which none of them accepts. A key spells it as
``caf\xe9.png``, and a backslash that could be read as such an escape is doubled: no two names have the same key, and
valid UTF-8 names are unchanged.
"""

from __future__ import annotations

import os
import re
from typing import Final

__all__ = ["key_of", "name_of"]

_BYTE: Final = re.compile("[\udc80-\udcff]")
_MISTAKABLE: Final = re.compile(r"\\(?=\\|x[89a-f][0-9a-f]|[\udc80-\udcff])")
_SPELLED: Final = re.compile(r"\\(\\|x([89a-f][0-9a-f]))")


def key_of(name: str | os.PathLike[str]) -> str:
    """The key of a file name or path, as decoded by Python."""
    doubled = _MISTAKABLE.sub(r"\\\\", os.fspath(name))
    return _BYTE.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", doubled)


def name_of(key: str) -> str:
    """The file name or path of a key."""
    return _SPELLED.sub(lambda match: chr(0xDC00 + int(match[2], 16)) if match[2] else "\\", key)
