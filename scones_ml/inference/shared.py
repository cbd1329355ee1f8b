"""Cache of the loaded model, shared by all threads of a process until its files change."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Final

from scones_ml.inference.model import OnnxClassifier, load_classifier

__all__ = ["shared_model"]

_loading: Final = threading.Lock()  # the first thread loads, others wait


def shared_model(model: str | Path) -> OnnxClassifier:
    """Load a model once, and again after its files have changed.

    Args:
        model: model folder or archive.

    Raises:
        ConfigurationError: as :func:`scones_ml.inference.model.load_classifier`.
    """
    path = Path(model).absolute()
    with _loading:
        return _loaded(path, _written(path))


@lru_cache(maxsize=2)
def _loaded(path: Path, written: object) -> OnnxClassifier:  # noqa: ARG001 - a part of the cache's key
    return load_classifier(path)


def _written(model: Path) -> tuple[tuple[int, int], ...]:
    """Modification times and sizes of a model's files; empty if it does not exist."""
    try:
        found = [path.stat() for path in (sorted(model.iterdir()) if model.is_dir() else [model])]
    except OSError:
        return ()
    return tuple((file.st_mtime_ns, file.st_size) for file in found)
