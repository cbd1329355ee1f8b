"""The Lambda handlers of our definitions: their files and dependencies.

Names correspond: ``handlers/classify_image_data.py`` is the function ``ClassifyImageData`` with the ARN
``${ClassifyImageDataFunctionArn}``.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

from scones_ml.errors import ConfigurationError

__all__ = ["handler_file", "handler_files", "handler_name", "handler_uses"]

_PACKAGE = Path(__file__).parents[1]  # scones_ml/
_FOLDERS = (_PACKAGE / "_handlers", _PACKAGE.parent / "handlers")  # in the wheel, in a checkout
_WORD = re.compile(r"(?<!^)(?=[A-Z])")
_CONFIGURED_BY = ("backends", "settings")


def handler_name(function: str) -> str:
    """The handler's name of a function, ``classify_image_data`` for ``ClassifyImageData``."""
    return _WORD.sub("_", function).lower()


def handler_files() -> tuple[Path, ...]:
    """The files of all handlers, sorted by name."""
    return tuple(sorted(path for folder in _FOLDERS for path in folder.glob("*.py")))


def handler_file(name: str) -> Path:
    """The file of a handler, from the wheel or the checkout.

    Raises:
        ConfigurationError: the handler does not exist.
    """
    for folder in _FOLDERS:
        path = folder / f"{name}.py"
        if path.is_file():
            return path
    raise ConfigurationError(f"there is no handler {name!r} in {' or '.join(map(str, _FOLDERS))}")


@lru_cache(maxsize=16)
def handler_uses(name: str) -> frozenset[str]:
    """The attributes of ``backends`` and ``settings`` that a handler uses, ``{"backends.classifier", ...}``.

    Raises:
        ConfigurationError: the handler does not exist.
    """
    return frozenset(
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(handler_file(name).read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _CONFIGURED_BY
    )
