"""One image's fault is its own outcome; the system's is raised."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import pytest

from scones_ml import steps
from scones_ml.batches import BLANK
from scones_ml.errors import (
    ConfigurationError,
    ImageNotFoundError,
    ImageTooLargeError,
    InferenceError,
    InvalidImageError,
    MissingExtraError,
    TransientServiceError,
    UnreadableImageError,
)
from scones_ml.events import ImageBatch, ImageOutcome, ImageRef
from scones_ml.ports import StoredObject
from scones_ml.settings import ImagePolicy

ANY = [
    PermissionError(13, "Permission denied"),
    OSError(5, "Input/output error"),
    TimeoutError("timed out"),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    ValueError("tile cannot extend outside image"),
    struct.error("unpack requires a buffer of 4 bytes"),
    SyntaxError("cannot parse header"),
    AttributeError("'tuple' object has no attribute 'numerator'"),
    UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "unexpected end of data"),
    KeyError("ImageWidth"),
    UnreadableImageError("it cannot be read"),
    InferenceError("no probability"),
]
GONE, BROKEN, LARGE = ImageNotFoundError("gone"), InvalidImageError("not an image"), ImageTooLargeError("too large")


class Place:
    """A store and a classifier that raise, for each image, what is planned for it.

    Args:
        read: key to what reading it raises.
        prepare: key to what decoding it raises.
        predict: key to what classifying it raises, at once with others or alone.
    """

    labels, model = ("bicycle", "motorcycle"), "fake"

    def __init__(
        self,
        read: Mapping[str, Exception] | None = None,
        prepare: Mapping[str, Exception] | None = None,
        predict: Mapping[str, Exception] | None = None,
    ) -> None:
        self._read, self._prepare, self._predict = read or {}, prepare or {}, predict or {}
        self.reads: list[str] = []

    def read(self, ref: ImageRef) -> StoredObject:
        self.reads.append(ref.s3_key)
        if ref.s3_key in self._read:
            raise self._read[ref.s3_key]
        return StoredObject(ref, ref.s3_key.encode())

    def prepare(self, data: bytes, _policy: ImagePolicy) -> str:
        key = "blank" if data == BLANK else data.decode()
        if key in self._prepare:
            raise self._prepare[key]
        return key

    def predict_many(self, images: Sequence[str], _ids: Sequence[str]) -> Sequence[tuple[float, ...]]:
        for key in images:
            if key in self._predict:
                raise self._predict[key]
        return [(0.02, 0.98)] * len(images)

    def outcomes(self, *keys: str, readers: int = 1) -> dict[str, ImageOutcome]:
        refs = [ImageRef(s3_bucket="photos", s3_key=key) for key in keys]
        found = steps.classify_batch(refs, self.read, self, ImagePolicy(), 0.9, readers)
        assert [outcome.s3_key for outcome in found] == list(keys)
        return {outcome.s3_key: outcome for outcome in found}


@pytest.mark.parametrize("stage", ["read", "prepare", "predict"])
@pytest.mark.parametrize("readers", [1, 4])
@pytest.mark.parametrize("error", [*ANY, GONE, BROKEN, LARGE], ids=lambda error: type(error).__name__)
def test_what_one_image_raises_is_its_own(error: Exception, readers: int, stage: str) -> None:
    """Whatever is raised, at whatever stage, one outcome says it with a reason; the others are classified."""
    found = Place(**{stage: {"b": error}}).outcomes("a", "b", "c", readers=readers)
    assert [found[key].outcome for key in "ac"] == ["accepted", "accepted"]
    decoder = stage == "prepare" and not isinstance(error, UnreadableImageError | InferenceError | ImageNotFoundError)
    if isinstance(error, InvalidImageError | ImageTooLargeError) or decoder:
        kind = "quarantined"
    else:
        kind = "dropped" if isinstance(error, ImageNotFoundError) else "failed"
    assert (found["b"].outcome, found["b"].label) == (kind, None)
    assert found["b"].reason
    assert found["b"].error
    assert str(error) in str(found["b"].reason) or isinstance(error, MemoryError | LookupError)


@pytest.mark.parametrize("stage", ["read", "predict"])
@pytest.mark.parametrize("error", [ConfigurationError("denied"), TransientServiceError("SlowDown")])
def test_the_systems_kind_of_error_is_an_images_own_where_others_come_through(error: Exception, stage: str) -> None:
    """A permission that one object lacks, or a time-out of one, fails this image and no other."""
    found = Place(**{stage: {"b": error}}).outcomes("a", "b")
    assert [found[key].outcome for key in "ab"] == ["accepted", "failed"]


@pytest.mark.parametrize("stage", ["read", "predict"])
@pytest.mark.parametrize("error", [ConfigurationError("denied"), TransientServiceError("SlowDown")])
def test_the_systems_fault_is_raised(error: Exception, stage: str) -> None:
    """Where no image of a batch comes through, it is not as many equal outcomes but one error."""
    with pytest.raises(type(error), match=str(error)):
        Place(**{stage: dict.fromkeys("abc", error)}).outcomes("a", "b", "c")


def test_a_throttled_read_is_tried_again() -> None:
    """What was throttled is read once more when the others are done."""
    place = Place(read={"a": TransientServiceError("SlowDown")})
    place.outcomes("a", "b")
    assert place.reads == ["a", "b", "a"]


def test_a_missing_package_is_raised() -> None:
    """What no image can be decoded without is the system's fault, be there one image or many."""
    with pytest.raises(MissingExtraError):
        Place(prepare={"a": MissingExtraError("Pillow", "onnx")}).outcomes("a", "b")


def test_a_model_that_answers_not_even_a_blank_image_is_broken() -> None:
    """Where several images fail alike, a blank one tells whether it is they or the model."""
    errors: dict[str, Exception] = dict.fromkeys("ab", ValueError("NaN"))
    assert {outcome.outcome for outcome in Place(predict=errors).outcomes("a", "b").values()} == {"failed"}
    with pytest.raises(InferenceError, match="not even a blank one: ValueError: NaN"):
        Place(predict={**errors, "blank": ValueError("NaN")}).outcomes("a", "b")


def test_a_batch_of_broken_images_is_no_broken_model() -> None:
    """Several broken files are as many quarantined images."""
    found = Place(prepare=dict.fromkeys("ab", ValueError("no tile"))).outcomes("a", "b")
    assert {outcome.outcome for outcome in found.values()} == {"quarantined"}


def test_failures_are_written_and_named() -> None:
    """A batch is one object, by whose key the next run sees whether it has to be done again; failures are named."""
    batch = ImageBatch(
        images=tuple(ImageRef(s3_bucket="photos", s3_key=key) for key in "ab"), output_bucket="out", run="r"
    )
    found = tuple(Place(read={"a": PermissionError(13, "Permission denied")}).outcomes("a", "b").values())
    key, lines = steps.batch_results(batch, found)
    assert (key, lines.count("\n")) == (batch.failed_key, 2)
    report = steps.batch_report(batch, found)
    assert report["counts"] == {"accepted": 1, "failed": 1}
    assert report["failed"] == {"a": "PermissionError: [Errno 13] Permission denied"}
    assert steps.batch_results(batch, found[1:])[0] == batch.result_key


def test_reasons_can_be_shown_and_are_short() -> None:
    """A foreign message keeps to one line, escaped, whatever it quotes."""
    error = OSError(5, "\x1b[2Jevil\n" + "x" * 5000, "caf\udce9.png")
    reason = Place(read={"a": error}).outcomes("a", "b")["a"].reason
    assert reason is not None
    assert reason.isprintable()
    assert len(reason) <= 500
