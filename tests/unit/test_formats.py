"""Files that outlive a version: what of a newer one is ignored, what is refused, and whose folder a workspace is."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scones_ml import __version__, dataset
from scones_ml.cli import main
from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.inference.model import ModelCard, read_card, write_card
from scones_ml.local.backend import LocalBackend
from scones_ml.monitoring import read_reference
from scones_ml.plans import Change, Ledger, Plan, Run, execute, mark_workspace
from scones_ml.ports import DeploymentRequest

FIXTURES = Path(__file__).parents[1] / "fixtures" / "0.1.0"
CARD = {"labels": ["bicycle", "motorcycle"], "input_size": 8}
ENDPOINT = Plan("deploy", "local", (Change("create", "endpoint", "bikes", "answers requests"),))


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of a model that may be changed."""
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A staged data set."""
    return dataset.stage(dataset.Synthetic(per_class=8, size=32), tmp_path / "data").dataset.root


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger with one endpoint on it."""
    found = Ledger(tmp_path / "workspace" / "ledger.jsonl")
    execute(ENDPOINT, lambda change: None, found, Run.new())
    return found


def change(file: Path, **fields: object) -> None:
    """Give a JSON file other fields, or take those away that are None."""
    document = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))


def test_every_file_says_its_format(model: Path, data: Path, ledger: Ledger) -> None:
    """The card of a model, that of a data set, each line of a ledger and the workspace carry format 2."""
    write_card(model, read_card(model))
    lines = ledger.path.read_text().splitlines()
    documents = [(model / "model.json").read_text(), (data / "dataset.json").read_text(), *lines]
    assert [json.loads(document)["format"] for document in documents] == [2, 2, 2, 2]
    marker = json.loads((ledger.path.parent / "workspace.json").read_text())
    assert marker == {"format": 2, "made_by": f"scones_ml {__version__}"}


def test_a_model_of_a_newer_format_is_refused(model: Path) -> None:
    """A model of a newer format is one line that names the file, the version that made it, and the remedy."""
    change(model / "model.json", format=3, library_version="0.9.0", labels="another thing by then")
    with pytest.raises(ConfigurationError) as caught:
        read_card(model)
    expected = f"{model}/model.json: made by scones_ml 0.9.0 (format 3): update scones_ml to read it"
    assert str(caught.value) == expected


def test_a_data_set_of_a_newer_format_is_refused(data: Path) -> None:
    """A data set of a newer format is one line that names the file, the version that made it, and the remedy."""
    change(data / "dataset.json", format=3, made_by="scones_ml 0.9.0", classes=None)
    with pytest.raises(DatasetError) as caught:
        dataset.load(data)
    expected = f"{data}/dataset.json: made by scones_ml 0.9.0 (format 3): update scones_ml to read it"
    assert str(caught.value) == expected


def test_a_reference_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A reference of a newer format is one line, and so is one that is no JSON."""
    file = tmp_path / "reference.json"
    file.write_text('{"format": 3}')
    with pytest.raises(ConfigurationError, match=r"made by a newer scones_ml \(format 3\): update scones_ml"):
        read_reference(file)
    file.write_text("{")
    with pytest.raises(ConfigurationError, match=r"reference\.json is not a reference: it is not JSON"):
        read_reference(file)


@pytest.mark.parametrize("number", [0, -1, "two", 1.5, None])
def test_a_format_that_is_none_is_refused(model: Path, number: object) -> None:
    """A model whose format is no number of a format is refused in one line that says so."""
    (model / "model.json").write_text(json.dumps(CARD | {"format": number}))
    with pytest.raises(ConfigurationError, match=r"model\.json: unknown format .*: the file is damaged, or scones_ml"):
        read_card(model)


def test_unknown_fields_of_a_card_are_kept(model: Path) -> None:
    """A card with fields of a newer version is read, and still holds them when it was written again."""
    change(model / "model.json", backbone={"name": "mobilenet"}, threshold=0.5)
    card = read_card(model)
    write_card(model, card.model_copy(update={"threshold": 0.7}))
    written = json.loads((model / "model.json").read_text())
    assert (card.threshold, written["threshold"], written["backbone"]) == (0.5, 0.7, {"name": "mobilenet"})


def test_unknown_fields_of_a_data_set_are_ignored(data: Path) -> None:
    """A data set whose card and manifest have fields of a newer version is read."""
    before = dataset.load(data)
    change(data / "dataset.json", fit="crop")
    manifest = data / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('{"path"', '{"weight": 1, "path"'))
    assert dataset.load(data) == before


def test_unknown_fields_of_a_reference_are_ignored(tmp_path: Path) -> None:
    """A reference with a field of a newer version is read without it."""
    file = Path(shutil.copy(FIXTURES / "reference.json", tmp_path))
    before = read_reference(file)
    change(file, latency={"12": 2})
    assert read_reference(file) == before


def test_unknown_fields_of_a_ledger_are_ignored(ledger: Ledger) -> None:
    """A line of the ledger with a field of a newer version counts like any other."""
    before = ledger.resources()
    ledger.path.write_text(ledger.path.read_text().replace('{"format"', '{"account": "1", "format"'))
    assert (ledger.resources(), ledger.unreadable()) == (before, 0)


def test_unknown_fields_of_an_endpoints_record_are_ignored(tmp_path: Path, tiny_model: Path) -> None:
    """An endpoint whose record has fields of a newer version is found, and can be removed."""
    backend = LocalBackend(tmp_path)
    endpoint = backend.deployer.deploy(DeploymentRequest("bikes", tiny_model))
    try:
        record = tmp_path / "endpoints" / "bikes.json"
        fields = json.loads(record.read_text())
        change(record, started="now", endpoint=fields["endpoint"] | {"region": "here"})
        assert backend.deployer.endpoints() == [endpoint]
    finally:
        backend.deployer.remove("bikes")
    assert backend.deployer.recorded() == []


@pytest.mark.parametrize("name", ["base_model", "started_from"])
def test_a_base_model_is_read_under_both_names(model: Path, name: str) -> None:
    """What a training went on from is read under its old and its new name."""
    change(model / "model.json", **{"base_model": None, name: "c41f"})
    assert read_card(model).base_model == "c41f"


@pytest.mark.parametrize("name", ["extended_from", "grown_from"])
def test_earlier_data_sets_are_read_under_both_names(data: Path, name: str) -> None:
    """What a data set was extended from is read under its old and its new name."""
    change(data / "dataset.json", **{"extended_from": None, name: ["c41f"]})
    assert dataset.load(data).extended_from == ("c41f",)


def test_a_newer_line_of_a_ledger_is_refused(ledger: Ledger) -> None:
    """Who cannot read all that was made says so: nothing is listed, and nothing more is made."""
    with ledger.path.open("a") as file:
        file.write('{"format": 3, "made_by": "scones_ml 0.9.0", "what": "an endpoint"}\n')
    expected = r"ledger\.jsonl: made by scones_ml 0\.9\.0 \(format 3\): update scones_ml to read it"
    reads: list[Callable[[], object]] = [ledger.resources, ledger.unreadable, lambda: list(ledger.entries())]
    for read in reads:
        with pytest.raises(ConfigurationError, match=expected):
            read()
    made: list[Change] = []
    with pytest.raises(ConfigurationError, match=expected):
        execute(ENDPOINT, made.append, Ledger(ledger.path), Run.new())
    assert made == []


def test_a_newer_workspace_is_refused(ledger: Ledger) -> None:
    """A workspace of a newer format is neither read nor written, and its marker stays as it is."""
    marker = ledger.path.parent / "workspace.json"
    newer = '{"format": 3, "made_by": "scones_ml 0.9.0"}'
    marker.write_text(newer)
    expected = r"workspace\.json: made by scones_ml 0\.9\.0 \(format 3\): update scones_ml to read it"
    with pytest.raises(ConfigurationError, match=expected):
        ledger.resources()
    with pytest.raises(ConfigurationError, match=expected):
        execute(ENDPOINT, lambda change: None, Ledger(ledger.path), Run.new())
    assert marker.read_text() == newer
    assert len(ledger.path.read_text().splitlines()) == 2


@pytest.mark.parametrize("verb", [["label-next", "3"], ["monitor"], ["review"], ["status"]])
def test_no_verb_reads_a_newer_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    """What only reads is refused, too: a newer version may keep elsewhere what this one would say is not there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".scones").mkdir()
    (tmp_path / ".scones" / "workspace.json").write_text('{"format": "3", "made_by": "scones_ml 0.9.0"}')
    assert main(verb) == 1
    assert "workspace.json: unknown format '3'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ['{"version": 2, "projects": {}}', "projects: []", '{"format": 9, "made_by": "nx"}'])
def test_a_marker_of_somebody_else_is_left_alone(tmp_path: Path, text: str) -> None:
    """A workspace.json that another tool wrote is not taken for ours, and not changed."""
    (tmp_path / "workspace.json").write_text(text)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    execute(ENDPOINT, lambda change: None, ledger, Run.new())
    assert (tmp_path / "workspace.json").read_text() == text
    assert len(ledger.resources()) == 1


def test_an_empty_marker_is_filled(tmp_path: Path) -> None:
    """What a command that was killed between making the marker and writing it left is filled by the next one."""
    (tmp_path / "workspace.json").touch()
    mark_workspace(tmp_path)
    assert json.loads((tmp_path / "workspace.json").read_text())["format"] == 2


def test_two_processes_mark_once(tmp_path: Path) -> None:
    """Commands that start at once in a new folder leave one whole marker."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=mark_workspace, args=(tmp_path / "workspace",)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len((tmp_path / "workspace" / "workspace.json").read_text().splitlines()) == 1


def test_a_folder_that_cannot_be_marked_is_named(tmp_path: Path) -> None:
    """A workspace that is a file is refused in one line."""
    (tmp_path / "workspace").touch()
    with pytest.raises(ConfigurationError, match=r"workspace\.json cannot be written: .*; choose another --workspace"):
        mark_workspace(tmp_path / "workspace")


def test_a_new_card_is_of_the_newest_format() -> None:
    """A card that was made here, whatever format it was given, says the newest."""
    assert ModelCard.model_validate(CARD).format == ModelCard.model_validate(CARD | {"format": 1}).format == 2
