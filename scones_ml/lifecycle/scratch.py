"""A folder for what is needed for a while."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["scratch"]


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, whatever happens."""
    work = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
