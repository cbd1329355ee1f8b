"""What a folder holds, to tell whether tests left anything in it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["left_behind", "snapshot"]

_CACHES = {
    ".git",
    ".hypothesis",
    ".import_linter_cache",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    "__pycache__",
    "node_modules",
}
_OURS = {".scones", "build", "dist"}  # what commands and builds write to, in whatever folder they run

Files = dict[str, tuple[int, int]]


def snapshot(root: Path) -> Files:
    """Time of change and size of every file below a folder, by its path; caches of tools are left out."""
    found: Files = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _CACHES]
        for name in files:
            path = Path(folder, name)
            status = path.lstat()
            found[path.relative_to(root).as_posix()] = (status.st_mtime_ns, status.st_size)
    return found


def left_behind(before: Files, after: Files) -> list[str]:
    """Files that are new, and those of commands and builds that have changed; sources may be edited meanwhile."""
    return sorted(
        path
        for path, facts in after.items()
        if path not in before or (before[path] != facts and not _OURS.isdisjoint(path.split("/")))
    )
