"""``scones_ml.stage``, ``train``, ``evaluate`` and ``run``, as a program or a notebook calls them."""

from __future__ import annotations

import ast
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import scones_ml
from scones_ml import dataset
from scones_ml.cli import main
from scones_ml.errors import ConfigurationError, DatasetError, InvalidImageError, SconesError


@pytest.fixture
def data() -> dataset.StageResult:
    """Sixty drawn images, as the tiny model takes them."""
    return scones_ml.stage("synthetic", "data", per_class=30, image_size=8)


def test_the_life_cycle_in_four_calls(data: dataset.StageResult, tiny_model: Path) -> None:
    """What one call returns, the next one takes; paths do as well, and everything prints."""
    model = scones_ml.load_model(tiny_model)
    found = scones_ml.evaluate(model, data)
    assert found == scones_ml.evaluate(str(tiny_model), "data") == scones_ml.evaluate(tiny_model, data.dataset)
    results = scones_ml.run("data/test", model)
    assert len(results) == 12 == sum(results.outcomes.values())
    again = scones_ml.run(sorted(Path("data/test").rglob("*.png")), tiny_model)
    assert Counter((one.label, one.confidence, one.outcome) for one in results) == Counter(
        (one.label, one.confidence, one.outcome) for one in again
    )
    assert str(results).splitlines()[1].split() == ["image", "label", "confidence", "outcome", "reason"]
    assert results._repr_html_().count("<tr>") == 13
    assert repr(results).startswith("RunResults(12 images: ")


def test_functions_and_commands_give_the_same(
    data: dataset.StageResult, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Staged by either, a data set has one hash; run by either, an image has one result; both are on record."""
    assert main(["stage", "synthetic", "again", "--per-class", "30", "--image-size", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hash"] == data.dataset.hash
    assert main(["run", "data/test", "--model", str(tiny_model), "--json"]) == 0
    printed = {row["image"]["s3_key"]: row["confidence"] for row in json.loads(capsys.readouterr().out)}
    results = scones_ml.run("data/test", tiny_model)
    assert {one.image.s3_key: one.confidence for one in results} == printed
    record = [json.loads(line) for line in Path(".scones/ledger.jsonl").read_text().splitlines()]
    states = {(Path(row["name"]).name, row["state"]) for row in record if row["kind"] == "data set"}
    assert states == {(name, state) for name in ("data", "again") for state in ("creating", "created")}


def test_results_keep_the_order_of_the_images(tiny_model: Path, data: dataset.StageResult) -> None:
    """Executions end in any order; a broken image and a file that is none have their places too."""
    paths = sorted(Path("data/train").rglob("*.png"), reverse=True)[:5]
    Path("broken.png").write_text("no image")
    results = scones_ml.run([*paths[:3], "broken.png", *paths[3:]], tiny_model)
    assert [one.image.s3_key for one in results] == [
        *(p.name for p in paths[:3]),
        "broken.png",
        *(p.name for p in paths[3:]),
    ]
    assert results[3].outcome == "quarantined"


def test_training_gives_a_loaded_model(
    tiny_model: Path, data: dataset.StageResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request holds what was asked for, and the model is read from where it was written."""
    from scones_ml import lifecycle

    asked = []

    def instant(backend: object, request: object, progress: object, steps: object) -> object:
        asked.append(request)
        return scones_ml.load_model(tiny_model).card

    monkeypatch.setattr(lifecycle, "train", instant)
    model = scones_ml.train(data, tiny_model, recipe="scratch", epochs=3, target_precision=0.9)
    assert (model.path, asked[0].data.name, asked[0].epochs, asked[0].target_precision) == (tiny_model, "data", 3, 0.9)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda _: scones_ml.stage("gone", "data"), DatasetError, "there is no folder gone"),
        (lambda _: scones_ml.stage("synthetic", "data", answers="a"), DatasetError, "synthetic"),
        (lambda _: scones_ml.stage(dataset.Synthetic(), "data", answers="a"), DatasetError, "give its folder"),
        (lambda _: scones_ml.train("gone"), DatasetError, "there is no data set gone"),
        (lambda _: scones_ml.train("gone", spot=True), ConfigurationError, "add on='aws'"),
        (lambda _: scones_ml.train("gone", target_precision=95), ConfigurationError, "did you mean 0.95?"),
        (lambda _: scones_ml.train("gone", recipe="x"), ConfigurationError, "'x': choose auto, head or scratch"),
        (lambda _: scones_ml.train("gone", preset="x"), ConfigurationError, "'x': choose fast or best"),
        (lambda _: scones_ml.train("gone", threads=0), ConfigurationError, "threads is 0: give 1 or more"),
        (lambda _: scones_ml.stage("a", "b", classes="x,y"), ConfigurationError, "give a list, one name each"),
        (lambda m: scones_ml.evaluate(m, "gone", split="dev"), ConfigurationError, "validation, calibration or test"),
        (lambda m: scones_ml.evaluate(m, "gone"), DatasetError, "there is no data set gone"),
        (lambda _: scones_ml.evaluate("gone", "gone"), ConfigurationError, "the model gone does not exist"),
        (lambda m: scones_ml.run("gone.jpg", m), InvalidImageError, "there is no file gone.jpg"),
        (lambda m: scones_ml.run([m], on="aws", threshold=0.5), ConfigurationError, "are for this machine"),
        (lambda m: scones_ml.run([m], on="moon"), ConfigurationError, "there is no backend 'moon'"),
        (lambda m: scones_ml.run([m / "model.json"]), ConfigurationError, "no endpoint is running: pass a model"),
        (lambda m: scones_ml.run([m], m, threshold=1.5), ConfigurationError, "threshold"),
    ],
)
def test_a_mistake_is_one_line(
    tiny_model: Path, call: Callable[[Path], object], error: type[SconesError], words: str
) -> None:
    """What cannot be used is named, with what to do, as an error of ours."""
    with pytest.raises(error) as caught:
        call(tiny_model)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_that_do_not_fit_are_told(data: dataset.StageResult, other_model: Callable[..., Path]) -> None:
    """A model of other classes is not judged by a data set."""
    with pytest.raises(DatasetError, match=r"has the classes bicycle, motorcycle, but .* cat, dog"):
        scones_ml.evaluate(other_model("cat", "dog"), data)


def test_progress_goes_where_it_is_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    """A function is called with (done, total); without a terminal nothing is printed."""
    told: list[tuple[int, int]] = []
    scones_ml.stage("synthetic", "first", per_class=10, image_size=8, progress=lambda *step: told.append(step))
    scones_ml.stage("synthetic", "second", per_class=10, image_size=8)
    assert told[-1] == (20, 20)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_unless_it_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal progress is shown by default; ``progress=False`` prints nothing."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    scones_ml.stage("synthetic", "quiet", per_class=10, image_size=8, progress=False)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
    scones_ml.stage("synthetic", "shown", per_class=10, image_size=8)
    assert "20/20" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_type_checkers_see_what_is_loaded_on_use() -> None:
    """Each public name is imported for type checkers from the module that it is loaded from."""
    tree = ast.parse(Path(scones_ml.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: one.module for one in block.body if isinstance(one, ast.ImportFrom) for alias in one.names}
    assert seen == {name: f"scones_ml.{home}" for name, home in scones_ml._HOMES.items()}
    assert {*seen, "__version__"} == set(scones_ml.__all__)
