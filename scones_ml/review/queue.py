"""The review queue: doubtful outcomes, one reviewer's way through them, and the pictures that they speak of."""

from __future__ import annotations

import json
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Lock

from pydantic import ValidationError

from scones_ml import images
from scones_ml.errors import ConfigurationError, ImageNotFoundError
from scones_ml.events import FilteredImage, ImageRef
from scones_ml.ports import ObjectStore, Progress, no_progress
from scones_ml.review.annotations import Answer, AnswerFile, Reviews, Undo, Verdict

__all__ = ["REVIEW_PREFIXES", "Pictures", "Queue", "Review", "Standing", "Step", "class_names", "read_queue"]

REVIEW_PREFIXES = ("outcomes/review/", "bulk/")
"""Where the workflow writes what a person is to decide, image by image, and the bulk workflow batch by batch."""

_READERS = 10  # botocore keeps ten connections
_SHOWN = images.ImagePolicy(image_size=1280)
_KEPT = 8
_DECIDED = re.compile(rb'"outcome": ?"(accepted|quarantined|dropped)"')


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a person.

    Attributes:
        images: the least sure first, where the model has most to learn; of equals in the order of their image ids. One
            that several runs left to review is here once, by its least sure answer.
        passed_over: documents that are no outcome of a review, each with its reason.
        documents: keys of what was read.
    """

    images: tuple[FilteredImage, ...] = ()
    passed_over: tuple[str, ...] = ()
    documents: frozenset[str] = frozenset()


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
    listed = (summary.key for prefix in prefixes for summary in store.list(bucket, prefix))
    keys = [key for key in listed if key.endswith((".json", ".jsonl")) and key not in known.documents]
    found = {image.image_id: image for image in known.images}
    passed_over = list(known.passed_over)
    with ThreadPoolExecutor(_READERS) as pool:
        for done, document in enumerate(pool.map(partial(_read, store, bucket), keys), start=1):
            passed_over += document.passed_over
            for image in document.images:
                found[image.image_id] = min(found.get(image.image_id, image), image, key=_sureness)
            progress(done, len(keys))
    return Queue(tuple(sorted(found.values(), key=_sureness)), tuple(passed_over), known.documents.union(keys))


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
        lines = enumerate(data.splitlines(), start=1)
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
    fields = json.loads(data)
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


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a review has come.

    Attributes:
        total: images in the queue.
        answered: that need no answer any more.
        skipped: put off by this reviewer, until `Review.renew`.
        lost: whose picture cannot be shown.
        conflicts: whose reviewers do not agree.
    """

    total: int
    answered: int
    skipped: int
    lost: int
    conflicts: int

    @property
    def left(self) -> int:
        """Images that wait, those put off among them."""
        return self.total - self.answered - self.lost


@dataclass(frozen=True, slots=True)
class Step:
    """What a reviewer did with an image.

    Attributes:
        image: which.
        answer: what was said; None when the image was put off.
    """

    image: FilteredImage
    answer: Answer | None


@dataclass
class Review:
    """One reviewer's way through a queue; every method may be called from any thread.

    Attributes:
        queue: what waits.
        answers: where answers are kept, this reviewer's and the others'.
        reviewer: who answers.
        second_opinion: whether to be asked what others have answered, too.
        now: the present time.
    """

    queue: Queue
    answers: AnswerFile
    reviewer: str
    second_opinion: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _skipped: dict[str, datetime] = field(default_factory=dict, init=False)
    _lost: dict[str, str] = field(default_factory=dict, init=False)
    _given: list[str] = field(default_factory=list, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        self._images = {image.image_id: image for image in self.queue.images}

    def image(self, image_id: str) -> FilteredImage | None:
        """One image of the queue, answered or not."""
        return self._images.get(image_id)

    def waiting(self) -> tuple[FilteredImage, ...]:
        """The images that wait for an answer and are not put off, the next one first."""
        with self._lock:
            settled = self._answered(self.answers.reviews()) | set(self._skipped) | set(self._lost)
            return tuple(image for image in self.queue.images if image.image_id not in settled)

    def standing(self) -> Standing:
        """How far the review has come."""
        with self._lock:
            reviews = self.answers.reviews()
            answered = self._answered(reviews)
            lost = set(self._lost) - answered
            skipped = set(self._skipped) - answered - lost
            return Standing(len(self._images), len(answered), len(skipped), len(lost), len(self._conflicts(reviews)))

    def answer(self, image: FilteredImage, label: str) -> None:
        """Keep an answer; it is on disk when this returns.

        Raises:
            ConfigurationError: it could not be written.
        """
        with self._lock:
            given = Answer.to(image, label, id=uuid.uuid4().hex, time=self.now(), reviewer=self.reviewer)
            self.answers.append(given)
            self._given.append(given.id)
            self._skipped.pop(image.image_id, None)

    def skip(self, image: FilteredImage) -> None:
        """Put an image off until this session's end, or `renew`."""
        with self._lock:
            self._skipped.pop(image.image_id, None)
            self._skipped[image.image_id] = self.now()

    def renew(self, queue: Queue) -> None:
        """Go on with a queue that has grown, and ask again for what was put off."""
        with self._lock:
            self.queue = queue
            self._images = {image.image_id: image for image in queue.images}
            self._skipped.clear()

    def lose(self, image: FilteredImage, reason: str) -> None:
        """Pass over an image whose picture cannot be shown."""
        with self._lock:
            self._lost[image.image_id] = reason

    def last(self) -> Step | None:
        """What `undo` would take back."""
        with self._lock:
            return self._last()

    def undo(self) -> FilteredImage | None:
        """Take back the reviewer's latest answer in this queue, or the latest skip if that is later.

        Returns:
            The image that waits again; None when there was nothing to take back.

        Raises:
            ConfigurationError: it could not be written.
        """
        with self._lock:
            last = self._last()
            if last is None:
                return None
            if last.answer is None:
                del self._skipped[last.image.image_id]
            else:
                self.answers.append(Undo(self.now(), self.reviewer, last.answer.id))
            return last.image

    def conflicts(self) -> tuple[Verdict, ...]:
        """Images of the queue whose reviewers do not agree."""
        with self._lock:
            return self._conflicts(self.answers.reviews())

    def lost(self) -> tuple[tuple[FilteredImage, str], ...]:
        """Images whose picture cannot be shown, with the reason."""
        with self._lock:
            return tuple((self._images[name], reason) for name, reason in self._lost.items())

    def given(self) -> tuple[Answer, ...]:
        """The answers of this session that hold."""
        with self._lock:
            given = set(self._given)
            return tuple(answer for answer in self.answers.reviews().standing if answer.id in given)

    def _answered(self, reviews: Reviews) -> set[str]:
        return {
            answer.image_id
            for answer in reviews.standing
            if answer.image_id in self._images and (not self.second_opinion or answer.reviewer == self.reviewer)
        }

    def _conflicts(self, reviews: Reviews) -> tuple[Verdict, ...]:
        return tuple(v for v in reviews.verdicts if v.label is None and v.image_id in self._images)

    def _last(self) -> Step | None:
        own = (answer for answer in reversed(self.answers.reviews().standing) if answer.reviewer == self.reviewer)
        answer = next((answer for answer in own if answer.image_id in self._images), None)
        if self._skipped:
            skipped, when = next(reversed(self._skipped.items()))
            if answer is None or when >= answer.time:
                return Step(self._images[skipped], None)
        return Step(self._images[answer.image_id], answer) if answer else None


class Pictures:
    """The pictures of queued images, at the version that was classified; the latest few are kept.

    Args:
        store: holds them.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._kept: OrderedDict[str, images.Preview] = OrderedDict()
        self._lock = Lock()

    def picture(self, image: FilteredImage) -> images.Preview:
        """The picture, at most 1,280 pixels a side, encoded anew: nothing else of the object reaches a browser.

        Raises:
            ImageError: it is gone, was replaced, or is no picture.
            ConfigurationError: no permission or no credentials.
            TransientServiceError: throttled or timed out.
        """
        with self._lock:
            if image.image_id in self._kept:
                self._kept.move_to_end(image.image_id)
                return self._kept[image.image_id]
        read = self._store.read(image.ref, _SHOWN.max_bytes + 1)
        made = images.preview(read.data, _SHOWN)
        with self._lock:
            self._kept[image.image_id] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made
