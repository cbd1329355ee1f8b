"""Unfinished work proves whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from scones_ml.claims import MARKER, Standing, claim_of, claimed, partial_folders, partial_name
from scones_ml.errors import ConfigurationError
from scones_ml.removal import open_folder


def standing(folder: Path, workspace: Path) -> Standing:
    with open_folder(folder) as opened:
        claim = claim_of(opened)
    return Standing.FOREIGN if claim is None else claim.standing(workspace)


def test_a_marker_is_busy_then_left(tmp_path: Path) -> None:
    """While the block works nobody else may, nor tidy up; afterwards its own workspace may, and no other."""
    mine, other = tmp_path / "#1 \udce9\n", tmp_path / "other"
    with claimed(tmp_path, mine):
        assert standing(tmp_path, mine) is Standing.BUSY
        assert standing(tmp_path, other) is Standing.FOREIGN
        with pytest.raises(ConfigurationError, match="another command is running"), claimed(tmp_path, mine, patience=0):
            pass
    assert standing(tmp_path, mine) is Standing.LEFT
    assert standing(tmp_path, other) is Standing.FOREIGN
    with claimed(tmp_path, other):
        pass
    assert standing(tmp_path, other) is Standing.LEFT


@pytest.mark.parametrize("content", ["mine", "Signature: something else\n", "{}"])
def test_a_file_of_the_same_name_is_not_ours(tmp_path: Path, content: str) -> None:
    """What somebody else wrote under the marker's name proves nothing, and is not written over."""
    (tmp_path / MARKER).write_text(content)
    assert standing(tmp_path, tmp_path) is Standing.FOREIGN
    with pytest.raises(ConfigurationError, match="was not written by scones"), claimed(tmp_path, None):
        pass
    assert (tmp_path / MARKER).read_text() == content


def test_a_link_of_the_same_name_is_not_ours(tmp_path: Path) -> None:
    """A link to a marker proves nothing, and is not written through."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    with claimed(tmp_path / "ours", tmp_path):
        pass
    (tmp_path / "theirs" / MARKER).symlink_to(tmp_path / "ours" / MARKER)
    assert standing(tmp_path / "theirs", tmp_path) is Standing.FOREIGN
    with pytest.raises(OSError, match=MARKER), claimed(tmp_path / "theirs", tmp_path):
        pass


def test_partial_folders_beside_a_target(tmp_path: Path) -> None:
    """Of the folders that are named like ours those with our marker count, and those with nothing in them yet."""
    names = {what: tmp_path / partial_name("data") for what in ("left", "empty", "foreign", "link")}
    for what in ("left", "empty", "foreign"):
        names[what].mkdir()
    with claimed(names["left"], tmp_path):
        pass
    (names["foreign"] / "keep").write_text("mine")
    names["link"].symlink_to(names["left"])
    (tmp_path / ".data.partial").mkdir()
    (tmp_path / ".data.0a1b2c3d.partial.txt").mkdir()
    found = dict(partial_folders(tmp_path / "data", tmp_path))
    assert found == {
        names["left"]: Standing.LEFT,
        names["empty"]: Standing.LEFT,
        names["foreign"]: Standing.FOREIGN,
        names["link"]: Standing.FOREIGN,
    }
    assert not dict(partial_folders(tmp_path / "nowhere" / "data", tmp_path))
