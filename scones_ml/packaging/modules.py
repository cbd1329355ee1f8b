"""Modules of this library that a program needs, found by following its imports.

All imports are followed, except under ``TYPE_CHECKING``. A module that is loaded by a name in a string, as in the
tables of ``scones_ml.backends``, cannot be found this way: the caller names it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

__all__ = ["needed_modules"]

_LIBRARY = Path(__file__).parents[1]  # scones_ml/


def needed_modules(program: str, loaded_by_name: Iterable[str] = ()) -> dict[str, Path]:
    """Modules that a program imports, directly or indirectly.

    Args:
        program: the program's source text.
        loaded_by_name: modules that it loads by name, ``"scones_ml.aws.store"``.

    Returns:
        Path below the library's own folder, ``"scones_ml/aws/store.py"``, to the file; sorted.
    """
    found: dict[str, Path] = {}
    waiting = [*_imported(program), *loaded_by_name]
    while waiting:
        parts = waiting.pop().split(".")
        for length in range(1, len(parts) + 1):  # importing a module runs the packages around it
            path = _file(parts[1:length])
            if path is None:  # a function or a class
                break
            name = path.relative_to(_LIBRARY.parent).as_posix()
            if name not in found:
                found[name] = path
                waiting += _imports_of(path)
    return dict(sorted(found.items()))


def _file(parts: list[str]) -> Path | None:
    place = _LIBRARY.joinpath(*parts)
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@cache
def _imports_of(path: Path) -> tuple[str, ...]:
    """Imports of a library file; cached, since the functions' packages share most files."""
    return tuple(_imported(path.read_text(encoding="utf-8")))


def _imported(source: str) -> Iterator[str]:
    """Names of this library that a source imports: modules and their members."""
    for node in _run(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == _LIBRARY.name)


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that can be executed: all except the bodies of ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _run(node)
