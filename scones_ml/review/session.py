"""The session of one reviewer, and the images that it shows."""

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

_SHOWN = images.ImagePolicy(image_size=1280)  # more than a screen's height; larger would only take time
_KEPT = 8  # cached previews: the one shown, prefetched ones, and a few to go back to


@dataclass(frozen=True, slots=True)
class ReviewProgress:
    """Progress of a review.

    Attributes:
        total: number of images in the queue.
        answered: number of images that need no further annotation.
        skipped: number of images that this reviewer has skipped, until `ReviewSession.renew`.
        lost: number of images that cannot be shown.
        conflicts: number of images on which reviewers disagree.
    """

    total: int
    answered: int
    skipped: int
    lost: int
    conflicts: int

    @property
    def left(self) -> int:
        """The number of images left, including skipped ones."""
        return self.total - self.answered - self.lost


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a reviewer.

    Attributes:
        image: the image.
        annotation: the annotation; None if the image was skipped.
    """

    image: FilteredImage
    annotation: Annotation | None


@dataclass
class ReviewSession:
    """The session of one reviewer; thread-safe.

    Attributes:
        queue: the images to review.
        file: file with the annotations of all reviewers.
        reviewer: name of the reviewer.
        second_opinion: whether to show images that others have annotated as well.
        now: returns the current time.
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
        """An image of the queue, annotated or not, or one that was shown before the queue was read again."""
        with self._lock:
            return self._known().get(image_id)

    def show(self, image: FilteredImage) -> str:
        """Register an outcome that is shown, and return a token with which the answer refers to it."""
        name = hashlib.sha256(json.dumps(image.to_event(), sort_keys=True).encode()).hexdigest()[:16]
        with self._lock:
            self._shown.pop(name, None)  # to the end: the latest outcome of an image is last
            self._shown[name] = image
        return name

    def shown(self, name: str) -> FilteredImage | None:
        """The outcome that was shown under a token, even if it has been replaced since."""
        return self._shown.get(name)

    def waiting(self) -> tuple[FilteredImage, ...]:
        """The images without annotation that are not skipped, next one first."""
        with self._lock:
            settled = self._answered(self._kept()) | set(self._skipped) | set(self._lost)
            return tuple(image for image in self.queue.images if image.image_id not in settled)

    def progress(self) -> ReviewProgress:
        """The progress of the review."""
        with self._lock:
            kept = self._kept()
            answered = self._answered(kept)
            lost = set(self._lost) - answered
            skipped = set(self._skipped) - answered - lost
            return ReviewProgress(len(self._images), len(answered), len(skipped), len(lost), len(self._conflicts(kept)))

    @property
    def needed(self) -> bool:
        """Whether an image is left to annotate, or a conflict to resolve."""
        done = self.progress()
        return bool(done.left or done.conflicts)

    def annotate(self, image: FilteredImage, label: str) -> None:
        """Save an annotation; it is on disk when this returns.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        with self._lock:
            given = Annotation.to(image, label, id=uuid.uuid4().hex, time=self.now(), reviewer=self.reviewer)
            self.file.append(given)
            self._given.append(given.id)
            self._skipped.pop(image.image_id, None)

    def skip(self, image: FilteredImage) -> None:
        """Skip an image until the end of the session, or `renew`."""
        with self._lock:
            self._skipped.pop(image.image_id, None)  # to the end: undo restores the last one
            self._skipped[image.image_id] = self.now()

    def renew(self, queue: Queue) -> None:
        """Continue with a newer queue, and show skipped images again."""
        with self._lock:
            self.queue = queue
            self._images = {image.image_id: image for image in queue.images}
            self._skipped.clear()

    def lose(self, image: FilteredImage, reason: str) -> None:
        """Leave out an image that cannot be shown."""
        with self._lock:
            self._lost[image.image_id] = reason

    def last(self) -> Step | None:
        """The step that `undo` would undo."""
        with self._lock:
            return self._last()

    def undo(self) -> FilteredImage | None:
        """Undo the reviewer's latest annotation in this queue, or the latest skip if that is later.

        Returns:
            The image to review again; None if there was nothing to undo.

        Raises:
            ConfigurationError: the file cannot be written.
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
        """The images of the queue on which reviewers disagree."""
        with self._lock:
            return self._conflicts(self._kept())

    def lost(self) -> tuple[tuple[FilteredImage, str], ...]:
        """The images that cannot be shown, each with its reason."""
        with self._lock:
            known = self._known()
            return tuple((known[name], reason) for name, reason in self._lost.items() if name in known)

    def given(self) -> tuple[Annotation, ...]:
        """The valid annotations of this session."""
        with self._lock:
            given = set(self._given)
            return tuple(one for one in self._kept().current if one.id in given)

    def _known(self) -> dict[str, FilteredImage]:
        """The images of the queue and all that were shown, by id."""
        return {image.image_id: image for image in self._shown.values()} | self._images

    def _kept(self) -> Annotations:
        """The annotations in the file for this session's classes."""
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
    """Previews of queued images, at the version that was classified; the latest few are cached.

    Args:
        store: the object store.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._kept: OrderedDict[str, images.Preview] = OrderedDict()
        self._lock = Lock()

    def preview(self, image: FilteredImage) -> images.Preview:
        """The image, at most 1,280 pixels per side and re-encoded, so that only pixels reach the browser.

        Raises:
            ImageError: the object was deleted or replaced, or is not an image.
            ConfigurationError: permission or credentials are missing.
            TransientServiceError: throttled or timed out.
        """
        with self._lock:
            if image.image_id in self._kept:
                self._kept.move_to_end(image.image_id)
                return self._kept[image.image_id]
        # Outside the lock: the store may take seconds, and other images must not wait.
        read = self._store.read(image.ref, _SHOWN.max_bytes)
        made = images.preview(read.data, _SHOWN)
        with self._lock:
            self._kept[image.image_id] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made
