"""The review queue: doubtful outcomes that wait for a person, read from where the workflows left them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from pydantic import ValidationError

from scones_ml import strict_json
from scones_ml.errors import ConfigurationError, ImageNotFoundError
from scones_ml.events import PLACES, FilteredImage, ImageRef
from scones_ml.ports import CONCURRENT_REQUESTS, ObjectStore, Progress, no_progress

__all__ = ["REVIEW_PREFIXES", "Queue", "class_names", "read_queue"]

REVIEW_PREFIXES = ("outcomes/review/", "bulk/")
"""Where the workflow writes what a person is to decide, image by image, and the bulk workflow batch by batch."""

_OUTCOME = re.compile(rb'"outcome": ?"(accepted|dropped|failed|quarantined|review)"')
_IMAGE_ID = re.compile(rb'"image_id": ?"(\w+)"')


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a person.

    Attributes:
        images: the least sure first, where the model has most to learn; of equals in the order of their image ids. One
            that several runs decided is here once, by its latest answer, and only if that left it to review.
        passed_over: documents that are no outcome of a review, each with its reason.
        documents: keys of what was read.
        times: when each of the images was left to review, by its id, in seconds since 1970.
        decided: of a document's images those that need no review, by their ids.
    """

    images: tuple[FilteredImage, ...] = ()
    passed_over: tuple[str, ...] = ()
    documents: frozenset[str] = frozenset()
    times: Mapping[str, float] = field(default_factory=dict)
    decided: frozenset[str] = frozenset()


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
        known: what was read before, and is not read again.

    Raises:
        ConfigurationError: no permission, no credentials, or no such bucket.
        TransientServiceError: throttled or timed out.
    """
    listed = (summary for prefix in prefixes for summary in store.list(bucket, prefix))
    new = [one for one in listed if one.key.endswith((".json", ".jsonl")) and one.key not in known.documents]
    new.sort(key=lambda summary: summary.modified)
    keys = [summary.key for summary in new]
    found = {image.image_id: (known.times.get(image.image_id, 0.0), image) for image in known.images}
    passed_over = list(known.passed_over)
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        for done, document in enumerate(pool.map(partial(_read, store, bucket), keys), start=1):
            passed_over += document.passed_over
            for image_id in document.decided:
                found.pop(image_id, None)
            found |= {image.image_id: (new[done - 1].modified, image) for image in document.images}
            progress(done, len(keys))
    if found:
        _leave_out_decided(store, bucket, found)
    images = sorted((image for _, image in found.values()), key=_sureness)
    times = {image_id: time for image_id, (time, _) in found.items()}
    return Queue(tuple(images), tuple(passed_over), known.documents.union(keys), times)


def _leave_out_decided(store: ObjectStore, bucket: str, found: dict[str, tuple[float, FilteredImage]]) -> None:
    """Forget images that a later run has accepted or quarantined: their key alone tells it."""
    for place in PLACES:
        if place == "review":
            continue
        for summary in store.list(bucket, f"outcomes/{place}/"):
            image_id = summary.key.rpartition("/")[2].removesuffix(".json")
            if image_id in found and summary.modified > found[image_id][0]:
                del found[image_id]


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
        outcomes, decided = {ref.uri: data}, set[str]()
    else:  # of a batch most images are accepted
        outcomes, decided = _undecided(ref.uri, data)
    images: list[FilteredImage] = []
    passed_over: list[str] = []
    for where, document in outcomes.items():
        try:
            images.append(_outcome(document))
        except ValueError as exc:
            passed_over.append(f"{where}: {exc}")
    return Queue(tuple(images), tuple(passed_over), decided=frozenset(decided))


def _undecided(uri: str, lines: bytes) -> tuple[dict[str, bytes], set[str]]:
    """The lines of a batch that are not decided, by where they are, and the ids of the images that are."""
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
        ValueError: it is something else.
    """
    try:
        fields = strict_json.parse(data)
    except ValueError as exc:
        raise ValueError(f"the document {exc}") from exc
    if not isinstance(fields, dict) or fields.pop("outcome", None) != "review":
        raise ValueError("no outcome of a review")
    try:
        image = FilteredImage.model_validate(fields)
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
            "give those to choose from with --classes a,b"
        )
    if len(names) < known:
        raise ConfigurationError(
            f"the queue names {len(found)} of {known} classes ({', '.join(found)}): "
            "give them all with --classes a,b or --model MODEL"
        )
    return names
