"""Files from outside: whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scones_ml.bounded import read_at_most


def test_a_file_within_the_limit_is_read_whole(tmp_path: Path) -> None:
    """A file of as many bytes as are allowed is read, also through a link."""
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to("a")
    assert read_at_most(tmp_path / "link", 10) == b"x" * 10


@pytest.mark.parametrize("path", ["large", "sparse", "pipe", "/dev/zero", "/dev/full"])
def test_what_is_larger_or_no_file_is_refused(tmp_path: Path, path: str) -> None:
    """One byte more, a terabyte of nothing, a pipe that nobody writes to and devices are refused at once."""
    (tmp_path / "large").write_bytes(b"x" * 11)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"^is larger than 10 bytes$|^is not a regular file$"):
        read_at_most(tmp_path / path, 10)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    """A missing file, a folder and a link to itself are the system's own errors."""
    (tmp_path / "loop").symlink_to("loop")
    for name in ("missing", ".", "loop"):
        with pytest.raises(OSError, match=r"No such file|Is a directory|Too many levels"):
            read_at_most(tmp_path / name, 10)
