"""The review queue: doubtful outcomes that wait for a person, read from where the workflows left them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial

from pydantic import ValidationError

from scones_ml import strict_json
from scones_ml.errors import ConfigurationError, ImageNotFoundError
from scones_ml.events import FilteredImage, ImageRef, classes_id
from scones_ml.ports import CONCURRENT_REQUESTS, ObjectStore, Progress, no_progress

__all__ = ["REVIEW_PREFIXES", "Queue", "class_names", "read_queue"]

REVIEW_PREFIXES = ("outcomes/review/", "bulk/")
"""Where the workflow writes what a person is to decide, image by image, and the bulk workflow batch by batch."""

_GRAPH = "sha256:"
_DECIDED = re.compile(rb'"outcome": ?"(accepted|quarantined|dropped)"')


@dataclass(frozen=True)
class Queue:
    """What waits for a person.

    Attributes:
        outcomes: all that was left to review, by whatever model.
        passed_over: documents that are no outcome of a review, each with its reason.
        documents: keys of what was read.
        labels: class names in the model's order: what models of other classes left is counted, not shown; None shows
            everything.
    """

    outcomes: tuple[FilteredImage, ...] = ()
    passed_over: tuple[str, ...] = ()
    documents: frozenset[str] = frozenset()
    labels: tuple[str, ...] | None = None

    def of(self, labels: Sequence[str]) -> Queue:
        """What models of these classes left to review."""
        return replace(self, labels=tuple(labels))

    @cached_property
    def images(self) -> tuple[FilteredImage, ...]:
        """The least sure first, where the model has most to learn; of equals in the order of their image ids.

        One that several runs left to review is here once, by its least sure answer.
        """
        found: dict[str, FilteredImage] = {}
        for image in self._ours:
            found[image.image_id] = min(found.get(image.image_id, image), image, key=_sureness)
        return tuple(sorted(found.values(), key=_sureness))

    @property
    def others(self) -> int:
        """How many outcomes models of other classes left to review."""
        return len(self.outcomes) - len(self._ours)

    @cached_property
    def _ours(self) -> tuple[FilteredImage, ...]:
        if self.labels is None:
            return self.outcomes
        wanted, named = classes_id(self.labels), [_names_one_of(image, self.labels) for image in self.outcomes]
        # One graph that ever named another class has others, whatever else it named; an endpoint may have changed.
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
    """Read every outcome below some prefixes, many documents at a time.

    Args:
        store: where the outcomes are.
        bucket: that holds them.
        prefixes: of their keys: one outcome in a ``.json``, the results of a batch in a ``.jsonl``.
        progress: counts documents.
        known: what was read before, and is not read again; its labels hold for what is new, too.

    Raises:
        ConfigurationError: no permission, no credentials, or no such bucket.
        TransientServiceError: throttled or timed out.
    """
    listed = (summary.key for prefix in prefixes for summary in store.list(bucket, prefix))
    keys = [key for key in listed if key.endswith((".json", ".jsonl")) and key not in known.documents]
    outcomes, passed_over = list(known.outcomes), list(known.passed_over)
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        for done, document in enumerate(pool.map(partial(_read, store, bucket), keys), start=1):
            passed_over += document.passed_over
            outcomes += document.outcomes
            progress(done, len(keys))
    return Queue(tuple(outcomes), tuple(passed_over), known.documents.union(keys), known.labels)


def _names_one_of(image: FilteredImage, labels: Sequence[str]) -> bool:
    """Whether an answer is of as many classes and names one of these, in its place."""
    place = image.inferences.index(max(image.inferences))
    return len(image.inferences) == len(labels) and image.label == labels[place]


def _sureness(image: FilteredImage) -> tuple[float, str]:
    return image.confidence, image.image_id


def _read(store: ObjectStore, bucket: str, key: str) -> Queue:
    """What one document leaves to review."""
    ref = ImageRef(s3_bucket=bucket, s3_key=key)
    try:
        data = store.read(ref).data
    except ImageNotFoundError:
        return Queue(passed_over=(f"{ref.uri}: gone since it was listed",))
    if key.endswith(".json"):
        outcomes = {ref.uri: data}
    else:  # of a batch most images are accepted
        lines = strict_json.lines(io.BytesIO(data))
        outcomes = {f"{ref.uri}, line {number}": line for number, line in lines if not _DECIDED.search(line)}
    images: list[FilteredImage] = []
    passed_over: list[str] = []
    for where, document in outcomes.items():
        try:
            images.append(_outcome(document))
        except ValueError as exc:
            passed_over.append(f"{where}: {exc}")
    return Queue(tuple(images), tuple(passed_over))


def _outcome(data: bytes) -> FilteredImage:
    """The document that the workflow wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        fields = strict_json.parse(data)
    except ValueError as exc:
        raise ValueError(f"the document {exc}") from exc
    if not isinstance(fields, dict) or fields.pop("outcome", None) != "review":
        raise ValueError("no outcome of a review")
    try:
        # A field of a newer version is ignored, as everywhere in files.
        image = FilteredImage.model_validate(
            {name: fields[name] for name in fields.keys() & FilteredImage.model_fields}
        )
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
    if not image.s3_bucket or not image.s3_key:
        raise ValueError("it names no object")
    return image


def class_names(queue: Iterable[FilteredImage]) -> tuple[str, ...]:
    """The classes that the queue's answers name, in the order of their probabilities.

    Raises:
        ConfigurationError: the model knows more classes than its answers here name, or the models that answered do not
            know the same ones in the same order.
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
            f"the queue holds answers of models that know different classes ({', '.join(found)}): "
            "give one with --model MODEL, or those to choose from with --classes a,b"
        )
    if len(names) < known:
        raise ConfigurationError(
            f"the queue names {len(found)} of {known} classes ({', '.join(found)}): "
            "give them all with --classes a,b or --model MODEL"
        )
    return names
