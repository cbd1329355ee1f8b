"""``scones cost`` and ``scones package``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scones_ml.cli import main


def test_cost_shows_every_design(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a row per design with its month, its idle month and its price for 1,000 more; the date is told."""
    assert main(["cost", "--images", "1000000"]) == 0
    captured = capsys.readouterr()
    rows = captured.out.splitlines()
    assert rows[0].split() == ["design", "a", "month", "idle", "month", "1,000", "more"]
    assert {"course", "endpoint", "serverless", "lambda", "bulk", "batch-transform"} <= {row.split()[0] for row in rows}
    assert "list prices of us-east-1 as of 2026-" in captured.err


def test_cost_as_json_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Each design's month is the sum of its lines, and break-evens lie between designs that were asked for."""
    assert main(["cost", "--images", "50000", "--design", "lambda,endpoint-express", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    for design in document["designs"]:
        total = sum(line["per_image"] * 50_000 + line["per_month"] for line in design["lines"])
        assert design["per_month"] == pytest.approx(total)
    assert {row["above"] for row in document["break_evens"]} <= {"lambda", "endpoint-express"}


def test_a_models_own_time_is_counted(capsys: pytest.CaptureFixture[str], tiny_model: Path) -> None:
    """--model measures the model here and counts twice that, in every design that pays for its time."""
    assert main(["cost", "--design", "lambda", "--json"]) == 0
    usual = json.loads(capsys.readouterr().out)
    assert main(["cost", "--design", "lambda", "--json", "--model", str(tiny_model)]) == 0
    tiny = json.loads(capsys.readouterr().out)
    assert 0 < tiny["model_ms"] < usual["model_ms"] == 20
    (line,) = (line for line in tiny["designs"][0]["lines"] if line["what"] == "Lambda ClassifyImageData")
    assert line["formula"].startswith(f"{15 + tiny['model_ms']:g} ms x 1769 MB")
    assert main(["cost", "--model", str(tiny_model)]) == 0
    assert "measured here" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--model with a folder that holds no model is refused."""
    assert main(["cost", "--model", str(tmp_path / "none")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_formulas_show_what_is_paid_for(capsys: pytest.CaptureFixture[str]) -> None:
    """--formulas lists each line with the numbers it is made of."""
    assert main(["cost", "--design", "lambda", "--formulas"]) == 0
    assert "state transitions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--design", "lamda"], "there is no design 'lamda'"),
        (["--region", "eu-west-9"], "no prices are known for the region 'eu-west-9'"),
        (["--instance", "ml.p3.huge"], "no price is known for 'ml.p3.huge'"),
    ],
)
def test_what_has_no_price_is_never_guessed(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """An unknown design, region or instance is one clear line that names what is known."""
    assert main(["cost", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_a_dry_run_packs_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``scones package --dry-run`` names every function with its distributions and writes nothing."""
    monkeypatch.chdir(tmp_path)
    assert main(["package", "--dry-run"]) == 0
    rows = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert "pillow==" in rows["build/lambda/serialize_image_data"]
    assert "pillow==" not in rows["build/lambda/filter_low_confidence"]
    assert "boto3" not in "".join(rows.values())
    assert list(tmp_path.iterdir()) == []


def test_a_broken_model_is_told_before_anything_is_packed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``scones package`` refuses a model whose card cannot be read, in a dry run, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(b"")
    (tmp_path / "model" / "model.json").write_text('{"format": 99}')
    assert main(["package", "--dry-run", "--classifier", "onnx", "--model", "model"]) == 1
    assert "model/model.json: made by a newer scones_ml" in capsys.readouterr().err
