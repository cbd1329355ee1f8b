r"""File names as keys: any bytes that Linux and macOS allow in a name, in a text that S3, JSON and UTF-8 can hold.

Python reads an undecodable byte of a name as half a character, which none of them takes. In a key it is spelled as it
is shown, ``caf\xe9.png``, and a backslash that could be taken for such a spelling is doubled: no two names have the
same key, and names that are UTF-8 keep theirs.
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
    """The key of a file's name or path, as Python gives it."""
    doubled = _MISTAKABLE.sub(r"\\\\", os.fspath(name))
    return _BYTE.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", doubled)


def name_of(key: str) -> str:
    """The name or path that has this key."""
    return _SPELLED.sub(lambda match: chr(0xDC00 + int(match[2], 16)) if match[2] else "\\", key)
