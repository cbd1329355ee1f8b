"""``python -m scones_ml.workflows``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scones_ml.workflows import image_classification
from scones_ml.workflows.__main__ import main

ROOT = Path(__file__).parents[2]


def test_it_prints_the_definition_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Without options the first workflow appears on standard output, ready to be a file."""
    assert main([]) == 0
    assert json.loads(capsys.readouterr().out) == image_classification().to_json()


def test_committed_files_are_fresh() -> None:
    """What is committed under workflows/ is what the code says."""
    assert main(["--check", str(ROOT / "workflows")]) == 0


def test_a_stale_file_is_named_with_its_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stale file costs exit code 1 and one line that says how to update it."""
    (tmp_path / "image_classification.asl.json").write_text("{}")
    assert main(["image_classification", "--check", str(tmp_path)]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "image_classification.asl.json is stale" in line
    assert "python -m scones_ml.workflows image_classification >" in line


def test_a_missing_file_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is named as missing."""
    assert main(["image_classification", "--check", str(tmp_path)]) == 1
    assert "is missing" in capsys.readouterr().err


def test_an_unknown_name_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelled workflow is a usage error that names the one that was probably meant."""
    with pytest.raises(SystemExit) as caught:
        main(["image_clasification"])
    assert caught.value.code == 2
    assert "did you mean 'image_classification'?" in capsys.readouterr().err
