"""Temporary folders."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["scratch"]


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder that is removed after the block in any case."""
    work = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
