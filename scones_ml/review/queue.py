"""The review queue: outcomes to review, read from the workflows' output."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from pydantic import ValidationError

from scones_ml import strict_json
from scones_ml.errors import ConfigurationError, ImageNotFoundError
from scones_ml.events import FilteredImage, ImageRef, classes_id
from scones_ml.events.models import PLACES
from scones_ml.ports import CONCURRENT_REQUESTS, ObjectStore, ObjectSummary, Progress, no_progress

__all__ = ["REVIEW_PREFIXES", "Queue", "class_names", "read_queue"]

REVIEW_PREFIXES = ("outcomes/review/", "bulk/")
"""Prefixes of the outcomes to review: single images of the workflow, and batches of the bulk workflow."""

_GRAPH = "sha256:"
_OUTCOME = re.compile(rb'"outcome": ?"(accepted|dropped|failed|quarantined|review)"')
_IMAGE_ID = re.compile(rb'"image_id": ?"(\w+)"')


@dataclass(frozen=True)
class Queue:
    """The images to review.

    Attributes:
        outcomes: outcomes to review, from all models and without those that a later run decided, earliest first.
        times: time at which each of these was written, in seconds since 1970.
        keys: key of the document that contains each of these.
        passed_over: documents that are not outcomes to review, each with its reason.
        documents: the documents that were read, by key.
        labels: class names in the model's order; outcomes of models with other classes are counted but not shown; None
            shows all.
    """

    outcomes: tuple[FilteredImage, ...] = ()
    times: tuple[float, ...] = ()
    keys: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    documents: Mapping[str, ObjectSummary] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None

    def of(self, labels: Sequence[str]) -> Queue:
        """The outcomes to review from models with these classes."""
        return replace(self, labels=tuple(labels))

    @cached_property
    def images(self) -> tuple[FilteredImage, ...]:
        """The images to review, least confident first, since the model learns most from these; ties by image id.

        An image from several runs appears once, with its latest prediction.
        """
        return tuple(sorted({image.image_id: image for image in self._ours}.values(), key=_sureness))

    @property
    def others(self) -> int:
        """The number of outcomes to review from models with other classes."""
        return len(self.outcomes) - len(self._ours)

    @cached_property
    def _ours(self) -> tuple[FilteredImage, ...]:
        if self.labels is None:
            return self.outcomes
        wanted, named = classes_id(self.labels), [_names_one_of(image, self.labels) for image in self.outcomes]
        # A graph with another class in any outcome has other classes; an endpoint may have changed its model.
        others = {
            image.model
            for image, fits in zip(self.outcomes, named, strict=True)
            if not fits and image.classes is None and image.model and image.model.startswith(_GRAPH)
        }
        return tuple(
            image
            for image, fits in zip(self.outcomes, named, strict=True)
            if (image.classes == wanted if image.classes else fits and image.model not in others)
        )


_EMPTY = Queue()


def read_queue(
    store: ObjectStore,
    bucket: str,
    prefixes: Sequence[str] = REVIEW_PREFIXES,
    progress: Progress = no_progress,
    known: Queue = _EMPTY,
) -> Queue:
    """Read all outcomes below some prefixes, many documents in parallel.

    Args:
        store: the object store.
        bucket: bucket of the outcomes.
        prefixes: prefixes of their keys: a ``.json`` is one outcome, a ``.jsonl`` the results of a batch.
        progress: callback that counts documents.
        known: the queue that was read before; only newer documents are read, and replace earlier ones. Its labels are
            used again.

    Raises:
        ConfigurationError: permission or credentials are missing, or the bucket does not exist.
        TransientServiceError: throttled or timed out.
    """
    listed = (summary for prefix in prefixes for summary in store.list(bucket, prefix))
    new = [one for one in listed if one.key.endswith((".json", ".jsonl")) and known.documents.get(one.key) != one]
    new.sort(key=lambda summary: summary.modified)
    found, passed_over = _still_known(known, bucket, {summary.key for summary in new})
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        documents = pool.map(partial(_read, store, bucket), [summary.key for summary in new])
        for done, (summary, document) in enumerate(zip(new, documents, strict=True), start=1):
            passed_over += document.passed_over
            for image_id in document.decided:
                found.pop(image_id, None)
            for image in document.undecided:
                found[image.image_id].append(_Found(summary.modified, summary.key, image))
            progress(done, len(new))
    if found:
        _leave_out_decided(store, bucket, found)
    left = sorted((entry for entries in found.values() for entry in entries), key=lambda entry: entry.time)
    return Queue(
        tuple(entry.image for entry in left),
        tuple(entry.time for entry in left),
        tuple(entry.key for entry in left),
        tuple(passed_over),
        {**known.documents, **{summary.key: summary for summary in new}},
        known.labels,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """An image to review, with the time and the key of its document."""

    time: float
    key: str
    image: FilteredImage


def _still_known(known: Queue, bucket: str, replaced: set[str]) -> tuple[defaultdict[str, list[_Found]], list[str]]:
    """The content of documents that have not been replaced: images by id, and documents passed over."""
    found = defaultdict[str, list[_Found]](list)
    for time, key, image in zip(known.times, known.keys, known.outcomes, strict=True):
        if key not in replaced:
            found[image.image_id].append(_Found(time, key, image))
    uris = tuple(f"{ImageRef(s3_bucket=bucket, s3_key=key).uri}{end}" for key in replaced for end in ":,")
    return found, [line for line in known.passed_over if not line.startswith(uris)]


def _leave_out_decided(store: ObjectStore, bucket: str, found: dict[str, list[_Found]]) -> None:
    """Remove images that a later run has accepted or quarantined, which the keys show."""
    for place in PLACES:
        if place == "review":
            continue
        for summary in store.list(bucket, f"outcomes/{place}/"):
            image_id = summary.key.rpartition("/")[2].removesuffix(".json")
            if image_id in found and summary.modified > found[image_id][-1].time:
                del found[image_id]


def _names_one_of(image: FilteredImage, labels: Sequence[str]) -> bool:
    """Whether a prediction has as many classes, and its label is at the right position."""
    place = image.inferences.index(max(image.inferences))
    return len(image.inferences) == len(labels) and image.label == labels[place]


def _sureness(image: FilteredImage) -> tuple[float, str]:
    return image.confidence, image.image_id


@dataclass(frozen=True, slots=True)
class _Document:
    """The content of one document: images to review, ids of decided images, and unreadable parts."""

    undecided: tuple[FilteredImage, ...] = ()
    decided: frozenset[str] = frozenset()
    passed_over: tuple[str, ...] = ()


def _read(store: ObjectStore, bucket: str, key: str) -> _Document:
    ref = ImageRef(s3_bucket=bucket, s3_key=key)
    try:
        data = store.read(ref).data
    except ImageNotFoundError:
        return _Document(passed_over=(f"{ref.uri}: deleted since it was listed",))
    if key.endswith(".json"):
        outcomes, decided = {ref.uri: data}, set[str]()
    else:  # most images of a batch are accepted
        outcomes, decided = _undecided(ref.uri, data)
    images: list[FilteredImage] = []
    passed_over: list[str] = []
    for where, document in outcomes.items():
        try:
            images.append(_outcome(document))
        except ValueError as exc:
            passed_over.append(f"{where}: {exc}")
    return _Document(tuple(images), frozenset(decided), tuple(passed_over))


def _undecided(uri: str, lines: bytes) -> tuple[dict[str, bytes], set[str]]:
    """The lines of a batch to review, by location, and the ids of decided images."""
    outcomes, decided = {}, set()
    for number, line in strict_json.lines(io.BytesIO(lines)):
        outcome = _OUTCOME.search(line)
        if outcome is None or outcome[1] == b"review":
            outcomes[f"{uri}, line {number}"] = line
        elif outcome[1] != b"failed" and (image_id := _IMAGE_ID.search(line)):
            decided.add(image_id[1].decode())
    return outcomes, decided


def _outcome(data: bytes) -> FilteredImage:
    """The document that the workflow wrote.

    Raises:
        ValueError: it is not an outcome to review.
    """
    try:
        fields = strict_json.parse(data)
    except ValueError as exc:
        raise ValueError(f"the document {exc}") from exc
    if not isinstance(fields, dict) or fields.pop("outcome", None) != "review":
        raise ValueError("not an outcome to review")
    try:
        # Fields of newer versions are ignored, as in all files.
        image = FilteredImage.model_validate(
            {name: fields[name] for name in fields.keys() & FilteredImage.model_fields}
        )
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
    if not image.s3_bucket or not image.s3_key:
        raise ValueError("it has no object")
    return image


def class_names(queue: Iterable[FilteredImage]) -> tuple[str, ...]:
    """The classes of the queue's predictions, in the order of their probabilities.

    Raises:
        ConfigurationError: the queue's predictions do not include all classes of the model, or its models have
            different classes or orders of classes.
    """
    answered: set[tuple[int, str]] = set()
    known = 0
    for image in queue:
        answered.add((image.inferences.index(max(image.inferences)), image.label))
        known = max(known, len(image.inferences))
    names = tuple(name for _, name in sorted(answered))
    found = sorted(set(names))
    if len(names) > min(len(found), known):
        raise ConfigurationError(
            f"the queue has predictions of models with different classes ({', '.join(found)}): "
            "choose a model with --model MODEL, or the classes with --classes a,b"
        )
    if len(names) < known:
        raise ConfigurationError(
            f"the queue's predictions include only {len(found)} of {known} classes ({', '.join(found)}): "
            "give all classes with --classes a,b or --model MODEL"
        )
    return names
