"""A second model in a workspace: what is monitored, reviewed and labelled next is of the model that is deployed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from scones_ml.cli import main
from scones_ml.events import FilteredImage, classes_id
from scones_ml.inference.model import load_classifier, model_identity
from scones_ml.local.backend import LocalBackend
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.review.annotations import AnnotationFile
from scones_ml.review.queue import Queue, read_queue
from scones_ml.review.session import ReviewSession

Capsys = pytest.CaptureFixture[str]
CALL = [sys.executable, "-c", "import sys; from scones_ml.cli import main; sys.exit(main(sys.argv[1:]))", "review"]
TEN = tuple(f"kind {number}" for number in range(10))


def photo(name: str, red: int) -> str:
    """A file whose red decides what a model of brightness says; 120 to 135 is doubtful."""
    Image.new("RGB", (8, 8), (red, 0, 0)).save(name)
    return name


@pytest.fixture
def deploy(capsys: Capsys) -> Iterator[Callable[..., None]]:
    """Serves a model under a name, in the place of what was served before."""
    backend = LocalBackend(Path(".scones").absolute())

    def start(model: Path, name: str = "scones") -> None:
        assert main(["deploy", str(model), "--name", name]) == 0
        capsys.readouterr()

    yield start
    for endpoint in backend.deployer.endpoints():
        backend.deployer.remove(endpoint.name)


def queue(*labels: str) -> Queue:
    found = read_queue(DirectoryObjectStore(Path(".scones/buckets")), "scones-output")
    return found.of(labels) if labels else found


def monitored(capsys: Capsys, *options: str) -> tuple[dict[str, object], int]:
    """The classes that are counted, and how many records of other models are left out."""
    assert main(["monitor", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {row["label"]: row["count"] for row in found["classes"]}, sum(found["other_models"].values())


def test_monitor_takes_the_classes_of_the_endpoint(
    deploy: Callable[..., None], tiny_model: Path, other_model: Callable[..., Path], capsys: Capsys
) -> None:
    """Two old records of another model come first; the new ones are all counted, and the two are said."""
    deploy(tiny_model)
    assert main(["run", photo("a.png", 0), photo("b.png", 255)]) == 0
    ten = other_model(*TEN, threshold=0.7)
    deploy(ten)
    files = [photo(f"{red}.png", red) for red in range(0, 256, 12)]
    assert main(["run", *files]) == 0
    capsys.readouterr()
    assert main(["monitor"]) == 0
    shown = capsys.readouterr()
    assert "predicted kind 9" in shown.out
    assert "below the threshold of 0.7" in shown.out
    assert "classes and threshold of the endpoint scones" in shown.err
    assert "2 records of another model left out" in shown.err
    assert "no usable answer" not in shown.err
    counts, others = monitored(capsys)
    assert (sum(map(int, counts.values())), others) == (len(files), 2)  # type: ignore[call-overload]
    assert monitored(capsys, "--model", str(tiny_model)) == ({"bicycle": 1, "motorcycle": 1}, len(files))
    assert main(["monitor", "--html", "page.html"]) == 0
    assert "2 of other models left out" in Path("page.html").read_text(encoding="utf-8")


def test_monitor_keeps_versions_of_one_model_apart(
    deploy: Callable[..., None], tiny_model: Path, other_model: Callable[..., Path], capsys: Capsys
) -> None:
    """A model that was trained again has the same classes: its records alone are counted, all of them with --all."""
    deploy(tiny_model)
    assert main(["run", photo("a.png", 0), photo("b.png", 255)]) == 0
    deploy(other_model("bicycle", "motorcycle", slope=4))
    assert main(["run", photo("c.png", 0)]) == 0
    capsys.readouterr()
    assert monitored(capsys) == ({"bicycle": 1, "motorcycle": 0}, 2)
    assert monitored(capsys, "--all") == ({"bicycle": 2, "motorcycle": 1}, 0)
    assert main(["cleanup"]) == 0
    capsys.readouterr()


def test_monitor_without_an_endpoint_shows_what_answered_last(
    deploy: Callable[..., None], tiny_model: Path, other_model: Callable[..., Path], capsys: Capsys
) -> None:
    """Where nothing says which model is meant, it is the latest one's records; two endpoints are chosen between."""
    deploy(tiny_model)
    assert main(["run", photo("a.png", 0), photo("b.png", 255)]) == 0
    deploy(other_model(*TEN), "ten")
    assert main(["run", photo("c.png", 0), "--endpoint", "ten"]) == 0
    capsys.readouterr()
    assert main(["monitor"]) == 1
    assert "several endpoints are running (scones, ten): choose one with --endpoint" in capsys.readouterr().err
    assert monitored(capsys, "--endpoint", "scones") == ({"bicycle": 1, "motorcycle": 1}, 0)
    assert monitored(capsys, ".scones/captures/scones") == ({"bicycle": 1, "motorcycle": 1}, 0)
    for name in ("scones", "ten"):
        LocalBackend(Path(".scones").absolute()).deployer.remove(name)
    counts, others = monitored(capsys)
    assert (len(counts), counts["class 0"], others) == (10, 1, 2)


@pytest.fixture
def two_tasks(
    deploy: Callable[..., None], tiny_model: Path, other_model: Callable[..., Path], capsys: Capsys
) -> tuple[Path, Path]:
    """Doubtful images of two models behind one endpoint, one after the other; both know bicycles, first of all."""
    second = other_model("bicycle", "bus")
    for model, names in ((tiny_model, "ab"), (second, "cde")):
        deploy(model)
        files = [photo(f"{name}.png", 118 + 4 * number) for number, name in enumerate(names)]
        assert main(["run", *files]) == 0
    capsys.readouterr()
    return tiny_model, second


def keys(found: Queue) -> str:
    return "".join(sorted(image.s3_key[0] for image in found.images))


def test_outcomes_say_their_classes(two_tasks: tuple[Path, Path]) -> None:
    """What two models of one endpoint left to review is told apart, whatever classes it names."""
    first, second = (load_classifier(model).labels for model in two_tasks)
    assert {image.classes for image in queue().images} == {classes_id(first), classes_id(second)}
    assert (keys(queue(*first)), queue(*first).others) == ("ab", 3)
    assert (keys(queue(*second)), queue(*second).others) == ("cde", 2)


def asked(*options: str) -> tuple[set[str], str]:
    """What the review offers as answers to its first image, and what it says on standard error."""
    process = subprocess.Popen([*CALL, "--reviewer", "ann", *options], stdout=-1, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if match := re.search(r"http://127\.0\.0\.1:\d+/\S+/", line):
            with urllib.request.urlopen(match[0], timeout=20) as page:
                text = unescape(page.read().decode())
            break
    else:
        raise AssertionError(said)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    return set(re.findall(r'name="label" value="([^"]+)"', text)) - {"none of these"}, said


def test_review_offers_the_classes_of_the_endpoint(two_tasks: tuple[Path, Path]) -> None:
    """The endpoint's classes, all of them, are the answers, and its images the questions; the others are counted."""
    first, _ = two_tasks
    classes, said = asked()
    assert classes == {"bicycle", "bus"}
    assert "3 to review" in said
    assert "2 outcomes of models with other classes left out: --model MODEL" in said
    classes, said = asked("--model", str(first))
    assert (classes, "2 to review" in said) == ({"bicycle", "motorcycle"}, True)
    classes, said = asked("--classes", "bicycle,bus,motorcycle")
    assert (classes, "5 to review" in said) == ({"bicycle", "bus", "motorcycle"}, True)


def test_review_knows_classes_that_no_image_was_taken_for(
    deploy: Callable[..., None], other_model: Callable[..., Path]
) -> None:
    """Ten classes are offered although the queue names one of them."""
    deploy(other_model(*TEN))
    assert main(["run", photo("a.png", 124)]) == 0
    assert asked()[0] >= set(TEN[:9])


def test_the_line_that_a_bulk_run_prints_can_be_typed(other_model: Callable[..., Path], capsys: Capsys) -> None:
    """No endpoint runs and the queue names one of ten classes: the next command says which model it is about."""
    Path("photos").mkdir()
    photo("photos/a.png", 124)
    model = other_model(*TEN).rename("my model")
    assert main(["run", "photos", "--bulk", "--model", "my model"]) == 0
    assert "next: scones review --model 'my model'\n" in capsys.readouterr().err
    assert asked("--model", str(model))[0] >= set(TEN[:9])
    Path(".scones/model").symlink_to(model.absolute())
    assert asked()[0] >= set(TEN[:9]), "the workspace's own model"


def test_label_next_takes_images_and_model_of_the_endpoint(two_tasks: tuple[Path, Path], capsys: Capsys) -> None:
    """Images of the deployed model's task alone are proposed, and what it calls them is its own word."""
    first, _ = two_tasks
    assert main(["label-next", "9", "--json"]) == 0
    shown = capsys.readouterr()
    wanted = json.loads(shown.out)
    assert {found["image"]["s3_key"] for found in wanted} == {"c.png", "d.png", "e.png"}
    assert {found["label"] for found in wanted} <= {"bicycle", "bus"}
    assert "2 outcomes of models with other classes left out" in shown.err
    assert main(["label-next", "9", "--model", str(first), "--json"]) == 0
    assert {found["image"]["s3_key"] for found in json.loads(capsys.readouterr().out)} == {"a.png", "b.png"}


def test_an_answer_to_one_model_is_none_to_another(two_tasks: tuple[Path, Path], tmp_path: Path) -> None:
    """One image asked of two tasks waits until both are answered; neither answer replaces or contradicts the other."""
    first, second = (load_classifier(model).labels for model in two_tasks)
    image = queue(*first).images[0]
    again = image.model_copy(update={"classes": classes_id(second), "inferences": (0.4, 0.6), "label": "bus"})
    file = AnnotationFile(tmp_path / "answers.jsonl")
    one, other = (ReviewSession(Queue((image, again)).of(labels), file, "ann") for labels in (first, second))
    one.annotate(image, "bicycle")
    assert (one.waiting(), [found.label for found in other.waiting()]) == ((), ["bus"])
    other.annotate(again, "bus")
    assert (other.waiting(), one.conflicts(), other.conflicts()) == ((), (), ())
    assert [verdict.label for verdict in file.read().verdicts] == ["bicycle", "bus"]
    one.undo()
    assert [found.label for found in file.read().current] == ["bus"]


def test_outcomes_of_earlier_versions_are_told_apart_by_what_they_name(
    doubtful: Callable[..., FilteredImage],
) -> None:
    """Without their classes' name, outcomes belong where their label has its place; a graph is of one task only."""
    store = DirectoryObjectStore(Path("buckets"))
    answers = [("a", "sha256:1", "bicycle"), ("b", "sha256:1", "motorcycle"), ("c", "sha256:2", "bicycle")]
    answers += [("d", "sha256:2", "bus"), ("e", "endpoint:scones", "bicycle"), ("f", "endpoint:scones", "bus")]
    for key, model, label in answers:
        labels = ("bicycle", "bus" if label == "bus" else "motorcycle")
        image = doubtful(store, key, key.encode(), (0.6, 0.4) if label == "bicycle" else (0.4, 0.6), labels)
        outcome = image.model_copy(update={"model": model}).to_event() | {"outcome": "review"}
        key = f"outcomes/review/{image.image_id}.json"
        store.write("scones-output", key, json.dumps(outcome).encode(), "application/json")
    found = read_queue(store, "scones-output")
    assert (keys(found.of(("bicycle", "motorcycle"))), keys(found.of(("bicycle", "bus")))) == ("abe", "cdef")
    assert keys(found.of(("bicycle", "bus", "motorcycle"))) == ""


def test_a_models_identity_is_the_one_that_it_answers_by(tiny_model: Path) -> None:
    """The endpoint's record names a model as outcomes and captures do."""
    assert model_identity(tiny_model) == load_classifier(tiny_model).model
