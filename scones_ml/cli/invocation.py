"""How this command was started, so that the commands that it prints can be typed in the same way."""

from __future__ import annotations

import os
import re
import shlex
import sys
from typing import Final

__all__ = ["as_typed", "command", "program"]

_NAME: Final = "scones"
_QUOTED: Final = re.compile(r"`scones(?= [a-z])")


def program() -> str:
    """``scones`` where the shell finds it; else the path that was typed, quoted and from the current folder."""
    typed = sys.argv[0] if sys.argv else ""
    if os.path.basename(typed) != _NAME:  # noqa: PTH119 - pathlib takes longer to import than this takes
        return _NAME
    from shutil import which

    found = which(_NAME)
    if found and os.path.realpath(found) == os.path.realpath(typed):
        return _NAME
    here = os.path.relpath(typed)
    return shlex.quote(typed if here.startswith("..") else here)


def command(*arguments: object) -> str:
    """A command line of ours as it can be typed here: arguments with blanks are quoted."""
    return " ".join([program(), *(shlex.quote(str(argument)) for argument in arguments)])


def as_typed(text: str) -> str:
    """A text whose quoted commands, such as ```scones status```, are as they can be typed here."""
    return _QUOTED.sub(lambda _: f"`{program()}", text) if "`scones " in text else text
