"""One reviewer's way through a queue, and the images that it shows."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

from scones_ml import images
from scones_ml.events import FilteredImage
from scones_ml.ports import ObjectStore
from scones_ml.review.annotations import Annotation, AnnotationFile, Annotations, Undo, Verdict
from scones_ml.review.queue import Queue

__all__ = ["ImagePreviews", "ReviewProgress", "ReviewSession", "Step"]

_SHOWN = images.ImagePolicy(image_size=1280)  # a screen's height and more; larger only costs time
_KEPT = 8  # previews: the one that is shown, those fetched ahead, and a few to go back to


@dataclass(frozen=True, slots=True)
class ReviewProgress:
    """How far a review has come.

    Attributes:
        total: images in the queue.
        answered: that need no annotation any more.
        skipped: put off by this reviewer, until `ReviewSession.renew`.
        lost: whose image cannot be shown.
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
        annotation: what was said; None when the image was put off.
    """

    image: FilteredImage
    annotation: Annotation | None


@dataclass
class ReviewSession:
    """One reviewer's way through a queue; every method may be called from any thread.

    Attributes:
        queue: what waits.
        file: where annotations are kept, this reviewer's and the others'.
        reviewer: who answers.
        second_opinion: whether to be asked what others have answered, too.
        now: the present time.
    """

    queue: Queue
    file: AnnotationFile
    reviewer: str
    second_opinion: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _skipped: dict[str, datetime] = field(default_factory=dict, init=False)
    _lost: dict[str, str] = field(default_factory=dict, init=False)
    _shown: dict[str, FilteredImage] = field(default_factory=dict, init=False)
    _given: list[str] = field(default_factory=list, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        self._images = {image.image_id: image for image in self.queue.images}

    def image(self, image_id: str) -> FilteredImage | None:
        """One image of the queue, answered or not, or one that was shown before the queue was read anew."""
        with self._lock:
            return self._known().get(image_id)

    def show(self, image: FilteredImage) -> str:
        """Name an outcome that is shown, so that the answer can say which one it is to."""
        name = hashlib.sha256(json.dumps(image.to_event(), sort_keys=True).encode()).hexdigest()[:16]
        with self._lock:
            self._shown.pop(name, None)  # to the end: the latest one of an image is last
            self._shown[name] = image
        return name

    def shown(self, name: str) -> FilteredImage | None:
        """The outcome that was shown under a name, whatever has taken its place since."""
        return self._shown.get(name)

    def waiting(self) -> tuple[FilteredImage, ...]:
        """The images that wait for an annotation and are not put off, the next one first."""
        with self._lock:
            settled = self._answered(self._kept()) | set(self._skipped) | set(self._lost)
            return tuple(image for image in self.queue.images if image.image_id not in settled)

    def progress(self) -> ReviewProgress:
        """How far the review has come."""
        with self._lock:
            kept = self._kept()
            answered = self._answered(kept)
            lost = set(self._lost) - answered
            skipped = set(self._skipped) - answered - lost
            return ReviewProgress(len(self._images), len(answered), len(skipped), len(lost), len(self._conflicts(kept)))

    @property
    def needed(self) -> bool:
        """Whether there is anything to answer, or to agree on."""
        done = self.progress()
        return bool(done.left or done.conflicts)

    def annotate(self, image: FilteredImage, label: str) -> None:
        """Keep an annotation; it is on disk when this returns.

        Raises:
            ConfigurationError: it could not be written.
        """
        with self._lock:
            given = Annotation.to(image, label, id=uuid.uuid4().hex, time=self.now(), reviewer=self.reviewer)
            self.file.append(given)
            self._given.append(given.id)
            self._skipped.pop(image.image_id, None)

    def skip(self, image: FilteredImage) -> None:
        """Put an image off until this session's end, or `renew`."""
        with self._lock:
            self._skipped.pop(image.image_id, None)  # to the end: undo takes the last one back
            self._skipped[image.image_id] = self.now()

    def renew(self, queue: Queue) -> None:
        """Go on with a queue that has grown, and ask again for what was put off."""
        with self._lock:
            self.queue = queue
            self._images = {image.image_id: image for image in queue.images}
            self._skipped.clear()

    def lose(self, image: FilteredImage, reason: str) -> None:
        """Pass over an image whose image cannot be shown."""
        with self._lock:
            self._lost[image.image_id] = reason

    def last(self) -> Step | None:
        """What `undo` would take back."""
        with self._lock:
            return self._last()

    def undo(self) -> FilteredImage | None:
        """Take back the reviewer's latest annotation in this queue, or the latest skip if that is later.

        Returns:
            The image that waits again; None when there was nothing to take back.

        Raises:
            ConfigurationError: it could not be written.
        """
        with self._lock:
            last = self._last()
            if last is None:
                return None
            if last.annotation is None:
                del self._skipped[last.image.image_id]
            else:
                self.file.append(Undo(self.now(), self.reviewer, last.annotation.id))
            return last.image

    def conflicts(self) -> tuple[Verdict, ...]:
        """Images of the queue whose reviewers do not agree."""
        with self._lock:
            return self._conflicts(self._kept())

    def lost(self) -> tuple[tuple[FilteredImage, str], ...]:
        """Images whose image cannot be shown, with the reason."""
        with self._lock:
            known = self._known()
            return tuple((known[name], reason) for name, reason in self._lost.items() if name in known)

    def given(self) -> tuple[Annotation, ...]:
        """The annotations of this session that hold."""
        with self._lock:
            given = set(self._given)
            return tuple(one for one in self._kept().current if one.id in given)

    def _known(self) -> dict[str, FilteredImage]:
        """The images of the queue and all that were shown, by their ids."""
        return {image.image_id: image for image in self._shown.values()} | self._images

    def _kept(self) -> Annotations:
        """What the file holds of the classes that are asked for."""
        kept = self.file.read()
        return kept if self.queue.labels is None else kept.of(self.queue.labels)

    def _answered(self, kept: Annotations) -> set[str]:
        return {
            one.image_id
            for one in kept.current
            if one.image_id in self._images and (not self.second_opinion or one.reviewer == self.reviewer)
        }

    def _conflicts(self, kept: Annotations) -> tuple[Verdict, ...]:
        return tuple(v for v in kept.verdicts if v.label is None and v.image_id in self._images)

    def _last(self) -> Step | None:
        own = (one for one in reversed(self._kept().current) if one.reviewer == self.reviewer)
        known = self._known()
        latest = next((one for one in own if one.image_id in known), None)
        if self._skipped:
            skipped, when = next(reversed(self._skipped.items()))
            if latest is None or when >= latest.time:
                return Step(known[skipped], None)
        return Step(known[latest.image_id], latest) if latest else None


class ImagePreviews:
    """The images of queued images, at the version that was classified; the latest few are kept.

    Args:
        store: holds them.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._kept: OrderedDict[str, images.Preview] = OrderedDict()
        self._lock = Lock()

    def preview(self, image: FilteredImage) -> images.Preview:
        """The image, at most 1,280 pixels a side, encoded anew: nothing else of the object reaches a browser.

        Raises:
            ImageError: it is gone, was replaced, or is no image.
            ConfigurationError: no permission or no credentials.
            TransientServiceError: throttled or timed out.
        """
        with self._lock:
            if image.image_id in self._kept:
                self._kept.move_to_end(image.image_id)
                return self._kept[image.image_id]
        # Outside the lock: a store may take seconds, and other images need not wait.
        read = self._store.read(image.ref, _SHOWN.max_bytes)
        made = images.preview(read.data, _SHOWN)
        with self._lock:
            self._kept[image.image_id] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made
