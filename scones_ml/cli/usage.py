"""Usage errors as one line: what is wrong, what was probably meant, where help is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final

import typer

from scones_ml.cli.invocation import as_typed
from scones_ml.wording import either, listed, share_hint

__all__ = ["closest", "usage_line"]

_CHOICE: Final = re.compile(r"(.*) is not one of (.*)\.")
_EXTRA: Final = re.compile(r"unexpected extra argument.*? \((.*)\)$")
_WORDS: Final = {  # pydantic's types of errors
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "finite_number": "is not a finite number",
}
_BOUNDS: Final = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}


def usage_line(error: Any) -> str:
    """One line for a command line that cannot be understood; the caller exits with 2."""
    path = error.ctx.command_path if error.ctx else "scones"
    line, hint = _line(error, path)
    if line.endswith("?"):
        return as_typed(line)
    return as_typed(f"{line}: {hint or f'see `{path} --help`'}")


def closest(given: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    found = difflib.get_close_matches(given, list(known), n=1)
    return found[0] if found else None


def _line(error: Any, path: str) -> tuple[str, str]:
    """What is wrong, and what to do about it; "" for a look at the help."""
    kind = type(error).__name__  # typer does not export these classes
    if kind == "NoSuchOption":
        meant = closest(error.option_name.strip("-"), [one.strip("-") for one in error.possibilities or ()])
        return f"`{path}` has no option {error.option_name}", f"did you mean --{meant}?" if meant else ""
    if kind == "BadOptionUsage":
        return f"{error.option_name} {'needs a value' if 'requires' in error.message else 'takes no value'}", ""
    if kind == "MissingParameter":
        return f"`{path}` needs {_needed(error)}", ""
    if isinstance(error, typer.BadParameter) and error.param is not None:
        name = error.param.opts[0] if error.param.opts[0].startswith("-") else str(error.param.name).upper()
        return _invalid(name, error)
    if extra := _EXTRA.search(error.message.rstrip(".")):
        return f"`{path}` does not take {extra[1]!r} as well", f"quote a name with blanks, or see `{path} --help`"
    return _lower(error.message.rstrip(".")), ""


def _needed(error: Any) -> str:
    """The arguments of a command that must be given."""
    names = [str(one.name).upper() for one in error.ctx.command.params if one.required]
    return listed(names)


def _invalid(name: str, error: Any) -> tuple[str, str]:
    """A value that an option or an argument does not take."""
    message = error.message.removeprefix("Value error, ")
    if choice := _CHOICE.fullmatch(message):
        known = re.findall(r"'([^']*)'", choice[2])
        meant = closest(choice[1].strip("'"), known)
        return f"{name} {choice[1]}", f"did you mean {meant}?" if meant else f"give {either(known)}"
    for found in getattr(error.__cause__, "errors", list)():  # of pydantic
        given = found.get("input")
        if words := _WORDS.get(found.get("type", "")):
            return f"{name} {given!r} {words}", ""
        if bound := _BOUNDS.get(found.get("type", "")):
            key, words = bound
            return f"{name} is {given}", _hint(given, found["ctx"][key]) or f"give {words} {found['ctx'][key]:g}"
    return f"{name}: {_lower(message.rstrip('.'))}", ""


def _hint(given: object, most: float) -> str:
    """What was meant where percents were given for a share."""
    try:
        return share_hint(float(str(given))) if 0 < most <= 1 else ""
    except ValueError:
        return ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
