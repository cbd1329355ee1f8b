"""Removal of folders: all of them, nothing beyond them, and what stays is named."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from scones_ml.removal import Kept, open_folder, remove_tree


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    """The descriptor of the folder that holds ``tree`` and, beside it, ``mine``."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_text("mine")
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "b" / "c").write_text("ours")
    with open_folder(tmp_path) as folder:
        yield folder


def test_links_are_removed_and_not_followed(tmp_path: Path, parent: int) -> None:
    """Links in a folder go with it, and what they lead to stays; a link in place of the folder stays itself."""
    (tmp_path / "tree" / "a" / "out").symlink_to(tmp_path / "mine")
    (tmp_path / "tree" / "nowhere").symlink_to(tmp_path / "gone")
    assert remove_tree("tree", parent) == []
    assert not (tmp_path / "tree").exists()
    (tmp_path / "tree").symlink_to(tmp_path / "mine")
    (kept,) = remove_tree("tree", parent)
    assert kept.path == "tree"
    assert (tmp_path / "mine" / "photo.png").read_text() == "mine"
    assert remove_tree("gone", parent) == []


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    tmp_path: Path, parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a folder and its removal a link takes its place: its target stays."""
    opened = os.open

    def swap(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "b":
            (tmp_path / "tree" / "a" / "b").rename(tmp_path / "moved")
            (tmp_path / "tree" / "a" / "b").symlink_to(tmp_path / "mine")
        return opened(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap)
    kept = remove_tree("tree", parent)
    assert [one.path for one in kept] == ["tree/a/b"]
    assert (tmp_path / "mine" / "photo.png").exists()


def test_one_failure_does_not_stop_the_rest(tmp_path: Path, parent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be removed is named with its reason, all else goes, and the last file stays until nothing is left."""
    (tmp_path / "tree" / "marker").write_text("ours")
    (tmp_path / "tree" / "z").write_text("ours")
    unlink = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if path == "c":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    assert remove_tree("tree", parent, last="marker") == [Kept("tree/a/b/c", "Permission denied")]
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["a", "marker"]
    monkeypatch.undo()
    assert remove_tree("tree", parent, last="marker") == []


def test_a_folder_may_be_deeper_than_files_may_be_open(tmp_path: Path, parent: int) -> None:
    """Three thousand folders in each other go, though a process may have 128 files open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open_folder(tmp_path / "tree") as top:
        folder = os.dup(top)
    for _ in range(3_000):
        os.mkdir("deeper", dir_fd=folder)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    used = len(list(Path("/dev/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 128, limits[1]))
    try:
        assert remove_tree("tree", parent) == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
