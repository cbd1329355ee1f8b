"""The review queue: what waits, in which order, and what a reviewer's steps make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from scones_ml.dataset.synthetic import draw_png
from scones_ml.errors import ConfigurationError, ImageNotFoundError, InvalidImageError
from scones_ml.events import FilteredImage
from scones_ml.review.annotations import AnnotationFile
from scones_ml.review.pages import choices
from scones_ml.review.queue import Queue, class_names, read_queue
from scones_ml.review.session import ImagePreviews, ReviewProgress, ReviewSession
from scones_ml.testing import MemoryObjectStore

LABELS = ("bicycle", "motorcycle")
Doubtful = Callable[..., FilteredImage]


@pytest.fixture
def store() -> MemoryObjectStore:
    """An empty store."""
    return MemoryObjectStore()


@pytest.fixture
def images(store: MemoryObjectStore, doubtful: Doubtful) -> dict[str, FilteredImage]:
    """Four queued images, a to d, with increasing confidence."""
    return {
        key: doubtful(store, key, draw_png("bicycle", 0, index), (0.5 + index / 10, 0.5 - index / 10), LABELS)
        for index, key in enumerate("abcd")
    }


@pytest.fixture
def reviewer(
    store: MemoryObjectStore, images: dict[str, FilteredImage], tmp_path: Path
) -> Callable[..., ReviewSession]:
    """A factory of sessions, whose clock advances with each step."""
    ticks = count()

    def start(name: str = "ann", *, second_opinion: bool = False) -> ReviewSession:
        begin = datetime(2026, 11, 25, 18, tzinfo=UTC)
        return ReviewSession(
            read_queue(store, "scones-output"),
            AnnotationFile(tmp_path / "answers.jsonl"),
            name,
            second_opinion,
            lambda: begin + timedelta(seconds=next(ticks)),
        )

    return start


def keys(review: ReviewSession) -> str:
    """The keys that wait, in order."""
    return "".join(image.s3_key for image in review.waiting())


def test_the_least_sure_come_first(store: MemoryObjectStore, images: dict[str, FilteredImage]) -> None:
    """The queue is in the order of confidence, whatever the order of its documents."""
    assert [image.s3_key for image in read_queue(store, "scones-output").images] == list("abcd")


def test_what_is_known_is_not_read_again(store: MemoryObjectStore, doubtful: Doubtful) -> None:
    """Reading the queue anew reads only outcomes that are new, and keeps the order."""
    doubtful(store, "b", b"1", (0.6, 0.4), LABELS)
    queue = read_queue(store, "scones-output")
    store.delete("scones-output", f"outcomes/review/{queue.images[0].image_id}.json")
    doubtful(store, "a", b"2", (0.55, 0.45), LABELS)
    newer = read_queue(store, "scones-output", known=queue)
    assert ([image.s3_key for image in newer.images], newer.passed_over) == (["a", "b"], ())


def test_what_was_written_again_is_read_again(store: MemoryObjectStore, doubtful: Doubtful) -> None:
    """An outcome that a later run wrote in the place of a known one counts alone, broken or whole."""
    image = doubtful(store, "a", b"1", (0.6, 0.4), LABELS)
    key = f"outcomes/review/{image.image_id}.json"
    queue = read_queue(store, "scones-output")
    store.write("scones-output", key, b"half of it", "")
    queue = read_queue(store, "scones-output", known=queue)
    assert (queue.images, len(queue.passed_over)) == ((), 1)
    again = image.model_copy(update={"inferences": (0.3, 0.7), "label": LABELS[1], "threshold": 0.99})
    store.write("scones-output", key, json.dumps(again.to_event() | {"outcome": "review"}).encode(), "")
    queue = read_queue(store, "scones-output", known=queue)
    assert (queue.outcomes, queue.passed_over) == ((again,), ())


def test_results_of_bulk_runs_wait_as_well(store: MemoryObjectStore, images: dict[str, FilteredImage]) -> None:
    """Of a batch's lines those left to review are read; an image of several runs waits once, by its latest answer."""
    a, b = (images[key].to_event() | {"outcome": "review"} for key in "ab")
    lines = [
        {**a, "confidence": 0.3},
        {**b, "confidence": 0.95},
        {**a, "outcome": "accepted", "image_id": "sure"},
        {"s3_bucket": "x", "s3_key": "y", "image_id": "broken", "outcome": "quarantined", "error": "InvalidImageError"},
    ]
    written = "\n".join(json.dumps(line) for line in lines) + '\n{"half'
    store.write("scones-output", "bulk/november/0cc1.jsonl", written.encode(), "")
    store.write("scones-output", "bulk-runs/november/SUCCEEDED_0.json", b"[]", "")
    queue = read_queue(store, "scones-output")
    assert [(image.s3_key, image.confidence) for image in queue.images] == [
        ("a", 0.3),
        ("c", 0.7),
        ("d", 0.8),
        ("b", 0.95),
    ]
    (reason,) = queue.passed_over
    assert reason.startswith("s3://scones-output/bulk/november/0cc1.jsonl, line 5: ")


def test_a_newer_versions_field_is_ignored(store: MemoryObjectStore, doubtful: Doubtful) -> None:
    """An outcome with a field that this version does not know waits for a person like any other."""
    image = doubtful(store, "a", b"1", (0.6, 0.4), LABELS)
    outcome = image.to_event() | {"outcome": "review", "reason": "no threshold", "weather": "fog"}
    store.write("scones-output", f"outcomes/review/{image.image_id}.json", json.dumps(outcome).encode(), "")
    queue = read_queue(store, "scones-output")
    assert ([found.reason for found in queue.images], queue.passed_over) == (["no threshold"], ())


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"{", "the document is not JSON: Expecting"),
        (b"[" * 100_000, "the document is nested deeper than 100 levels"),
        (b'{"outcome": "review", "confidence": 1e999}', "the document holds the number 1e999"),
        (b'{"label": "\\ud800"}', "the document holds half a character"),
        (b"[]", "not an outcome"),
        (b'{"outcome": "accepted"}', "not an outcome"),
        (b'{"outcome": "review"}', "Field required"),
    ],
)
def test_documents_of_others_are_named_and_passed_over(
    store: MemoryObjectStore, images: dict[str, FilteredImage], document: bytes, reason: str
) -> None:
    """What is no outcome of a review is left out with its address and the reason."""
    store.write("scones-output", "outcomes/review/x.json", document, "")
    queue = read_queue(store, "scones-output")
    assert len(queue.images) == 4
    assert queue.passed_over[0].startswith("s3://scones-output/outcomes/review/x.json: ")
    assert reason in queue.passed_over[0]


def test_a_line_of_results_ends_at_the_line_feed_alone(store: MemoryObjectStore, doubtful: Doubtful) -> None:
    """U+2028 in an object's key, CRLF and a byte order mark break no line of a batch's results."""
    image = doubtful(store, "a", b"1", (0.6, 0.4), LABELS).to_event() | {"outcome": "review", "s3_key": "a\u2028\x85b"}
    line = json.dumps({**image, "image_id": "f" * 40}, ensure_ascii=False)
    store.write("scones-output", "bulk/november/1.jsonl", f"\ufeff{line}\r\n\r\n".encode(), "")
    queue = read_queue(store, "scones-output")
    assert ({image.s3_key for image in queue.images}, queue.passed_over) == ({"a", "a\u2028\x85b"}, ())


def test_an_answer_names_object_and_model(
    reviewer: Callable[..., ReviewSession], images: dict[str, FilteredImage]
) -> None:
    """An annotation records reviewer, label, time, version and the model's prediction."""
    review = reviewer()
    review.annotate(images["a"], "motorcycle")
    line = json.loads(review.file.path.read_text())
    assert line | {"id": ""} == {
        "kind": "answer",
        "id": "",
        "time": "2026-11-25T18:00:00+00:00",
        "reviewer": "ann",
        "image_id": images["a"].image_id,
        "image": images["a"].ref.to_event(),
        "label": "motorcycle",
        "model": "sha256:c41f",
        "model_label": "bicycle",
        "confidence": 0.5,
        "threshold": 0.9,
    }


def test_what_is_answered_waits_no_more(
    reviewer: Callable[..., ReviewSession], images: dict[str, FilteredImage]
) -> None:
    """An answer settles an image for every reviewer, at once and in later sessions."""
    ann, bob = reviewer("ann"), reviewer("bob")
    ann.annotate(images["a"], "bicycle")
    assert (keys(ann), keys(bob), keys(reviewer("ann"))) == ("bcd", "bcd", "bcd")
    assert ann.progress() == ReviewProgress(total=4, answered=1, skipped=0, lost=0, conflicts=0)
    assert bob.given() == ()
    assert [answer.label for answer in ann.given()] == ["bicycle"]


def test_what_is_skipped_waits_for_later(
    reviewer: Callable[..., ReviewSession], images: dict[str, FilteredImage]
) -> None:
    """A skip puts an image off until asked again, or the next session, and is no answer."""
    ann = reviewer()
    ann.skip(images["b"])
    assert keys(ann) == "acd"
    assert ann.progress().left == 4
    assert keys(reviewer()) == "abcd"
    ann.renew(ann.queue)
    assert keys(ann) == "abcd"


def test_undo_goes_back_step_by_step(reviewer: Callable[..., ReviewSession], images: dict[str, FilteredImage]) -> None:
    """Answers and skips are taken back latest first, until nothing is left to take back."""
    ann = reviewer()
    ann.annotate(images["a"], "bicycle")
    ann.skip(images["b"])
    ann.annotate(images["c"], "bicycle")
    assert [getattr(ann.undo(), "s3_key", None) for _ in range(4)] == ["c", "b", "a", None]
    assert keys(ann) == "abcd"
    assert len(ann.file.read().lines) == 4


def test_undo_reaches_past_a_restart_but_not_to_others(
    reviewer: Callable[..., ReviewSession], images: dict[str, FilteredImage]
) -> None:
    """A new session takes back the same reviewer's last answer, never another one's."""
    reviewer("ann").annotate(images["a"], "bicycle")
    assert reviewer("bob").undo() is None
    undone = reviewer("ann").undo()
    assert undone is not None
    assert undone.s3_key == "a"
    assert reviewer("ann").last() is None


def test_second_opinions_make_conflicts_and_settle_them(
    reviewer: Callable[..., ReviewSession], images: dict[str, FilteredImage]
) -> None:
    """A second reviewer is asked again what the first has answered; a changed mind ends the conflict."""
    ann, bob = reviewer("ann"), reviewer("bob", second_opinion=True)
    ann.annotate(images["a"], "bicycle")
    assert keys(bob) == "abcd"
    bob.annotate(images["a"], "motorcycle")
    assert keys(bob) == "bcd"
    assert ann.progress().conflicts == 1
    assert [(a.reviewer, a.label) for a in ann.conflicts()[0].annotations] == [
        ("ann", "bicycle"),
        ("bob", "motorcycle"),
    ]
    ann.annotate(images["a"], "motorcycle")
    assert ann.conflicts() == ()


def test_classes_are_told_from_the_queue(store: MemoryObjectStore, doubtful: Doubtful) -> None:
    """The names come in the order of the probabilities; a class that nothing was taken for must be given,
    and so must those to choose from when models know different ones.
    """
    first = doubtful(store, "a", b"1", (0.2, 0.3, 0.5), ("x", "y", "z"))
    others = [doubtful(store, "b", b"2", (0.2, 0.6, 0.2), ("x", "y", "z"))]
    others.append(doubtful(store, "c", b"3", (0.6, 0.2, 0.2), ("x", "y", "z")))
    assert class_names([first, *others]) == ("x", "y", "z")
    with pytest.raises(ConfigurationError, match=r"2 of 3 classes \(y, z\).*--classes"):
        class_names([first, others[0]])
    for label in ("tank", "x"):  # of another model's two classes
        other = first.model_copy(update={"inferences": (0.4, 0.6), "label": label})
        with pytest.raises(ConfigurationError, match=r"different classes \(.*--classes"):
            class_names([first, *others, other])


def test_every_class_keeps_its_key() -> None:
    """Keys follow the order of the labels, digits first, none twice; beyond the 34th a class is in the list."""
    ten = choices(tuple("abcdefghij"))
    assert "".join(choice.key or "" for choice in ten) == "1234567890"
    many = choices(tuple(f"class {number:02}" for number in range(50)))
    assert [choice.label for choice in many] == sorted(choice.label for choice in many)
    keys = [choice.key for choice in many]
    assert len(set(keys[:34])) == 34
    assert not {"n", "u", " ", "/", None} & set(keys[:34])
    assert set(keys[34:]) == {None}


def test_a_image_is_the_version_that_was_classified(store: MemoryObjectStore, doubtful: Doubtful) -> None:
    """A replaced, a gone and a broken object are errors of their own; what is shown is encoded by us."""
    image = doubtful(store, "a", draw_png("bicycle", 0, 0), (0.6, 0.4), LABELS)
    images = ImagePreviews(store)
    assert images.preview(image).data.startswith(b"\x89PNG")
    store.write("scones-input", "a", draw_png("bicycle", 0, 1), "")
    assert images.preview(image).data.startswith(b"\x89PNG"), "kept"
    with pytest.raises(ImageNotFoundError, match="replaced"):
        ImagePreviews(store).preview(image)
    store.delete("scones-input", "a")
    with pytest.raises(ImageNotFoundError, match="does not exist"):
        ImagePreviews(store).preview(image)
    with pytest.raises(InvalidImageError):
        ImagePreviews(store).preview(doubtful(store, "b", b"<svg onload=alert(1)>", (0.6, 0.4), LABELS))


def test_an_empty_queue_has_nothing_waiting(tmp_path: Path) -> None:
    """Without outcomes the queue is empty."""
    review = ReviewSession(Queue(()), AnnotationFile(tmp_path / "a.jsonl"), "ann")
    assert review.waiting() == ()
    assert review.progress().left == 0
    assert review.undo() is None
