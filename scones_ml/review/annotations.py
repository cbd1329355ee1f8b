"""Annotations by reviewers, in append-only JSON Lines.

Each line is an `Annotation` or an `Undo`; lines are never changed or deleted. For each reviewer and image, the latest
annotation that was not undone is valid. An image gets the label on which its reviewers agree; if they disagree, all
annotations are kept, and the image has no label.

::

    {"kind": "answer", "id": "5f0c...", "time": "2026-11-25T18:04:11.5+00:00", "reviewer": "ann", "image_id": "9a1b...",
     "image": {"s3_bucket": "photos", "s3_key": "a.jpg", "etag": "0cc1..."}, "label": "bicycle",
     "model": "sha256:c41f...", "model_label": "motorcycle", "confidence": 0.61, "threshold": 0.9,
     "classes": "66f8..."}
    {"kind": "undo", "time": "2026-11-25T18:04:13.0+00:00", "reviewer": "ann", "answer": "5f0c..."}

>>> for verdict in read_annotations(Path(".scones/reviews/answers.jsonl")).verdicts:
...     if verdict.label is not None:
...         learn(verdict.image, verdict.label)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from scones_ml.errors import ConfigurationError
from scones_ml.events import FilteredImage, ImageRef, classes_id
from scones_ml.plans import journal

__all__ = ["NONE_OF_THESE", "Annotation", "AnnotationFile", "Annotations", "Undo", "Verdict", "read_annotations"]

NONE_OF_THESE: Final = "none of these"
"""The label of an image that shows none of the model's classes; data sets exclude it."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One reviewer's annotation of one image.

    Attributes:
        id: id of this annotation, for undoing it; any unique text.
        time: time with time zone.
        reviewer: name of the reviewer.
        image_id: id of the object version, 40 hex digits.
        image: the object, at the version that was shown.
        label: the class that the reviewer chose, or `NONE_OF_THESE`.
        model: id of the model whose prediction was reviewed, ``"sha256:..."`` of its graph or ``"endpoint:NAME"``; None
            if the outcome does not contain it.
        model_label: the predicted class.
        confidence: confidence of the prediction, in [0, 1].
        threshold: minimum confidence to accept, in (0, 1].
        classes: id of the model's classes, see :func:`scones_ml.events.classes_id`; annotations for different classes
            never replace or contradict each other. None if the outcome does not contain it.
    """

    id: str
    time: datetime
    reviewer: str
    image_id: str
    image: ImageRef
    label: str
    model: str | None
    model_label: str
    confidence: float
    threshold: float
    classes: str | None = None

    @classmethod
    def to(cls, asked: FilteredImage, label: str, *, id: str, time: datetime, reviewer: str) -> Self:  # noqa: A002
        """Create the annotation of a queued image."""
        return cls(
            id=id,
            time=time,
            reviewer=reviewer,
            image_id=asked.image_id,
            image=asked.ref,
            label=label,
            model=asked.model,
            model_label=asked.label,
            confidence=asked.confidence,
            threshold=asked.threshold,
            classes=asked.classes,
        )

    def is_like(self, other: Annotation) -> bool:
        """Whether both have the same classes, as far as these are known."""
        return self.classes is None or other.classes is None or self.classes == other.classes

    def to_json(self) -> dict[str, object]:
        """The line in the file."""
        document: dict[str, object] = {
            "kind": "answer",
            "id": self.id,
            "time": self.time.isoformat(),
            "reviewer": self.reviewer,
            "image_id": self.image_id,
            "image": self.image.to_event(),
            "label": self.label,
            "model": self.model,
            "model_label": self.model_label,
            "confidence": self.confidence,
            "threshold": self.threshold,
        }
        return document if self.classes is None else document | {"classes": self.classes}


@dataclass(frozen=True, slots=True)
class Undo:
    """The undoing of an annotation.

    Attributes:
        time: time with time zone.
        reviewer: name of the reviewer.
        annotation: id of the annotation.
    """

    time: datetime
    reviewer: str
    annotation: str

    def to_json(self) -> dict[str, object]:
        """The line in the file."""
        return {"kind": "undo", "time": self.time.isoformat(), "reviewer": self.reviewer, "answer": self.annotation}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The valid annotations of one image.

    Attributes:
        image_id: id of the object version, 40 hex digits.
        image: the object, at the version that was shown.
        annotations: at least one, one per reviewer, oldest first.
    """

    image_id: str
    image: ImageRef
    annotations: tuple[Annotation, ...]

    @property
    def label(self) -> str | None:
        """The label on which all reviewers agree; None if they disagree."""
        labels = {one.label for one in self.annotations}
        return labels.pop() if len(labels) == 1 else None


@dataclass(frozen=True)
class Annotations:
    """The content of a file of annotations.

    Attributes:
        lines: annotations and undos, oldest first.
        skipped: number of unreadable lines; a writer that was killed leaves half a line.
    """

    lines: tuple[Annotation | Undo, ...] = ()
    skipped: int = 0

    @cached_property
    def current(self) -> tuple[Annotation, ...]:
        """The valid annotations, oldest first: the latest of each reviewer and image that was not undone."""
        undone = {line.annotation for line in self.lines if isinstance(line, Undo)}
        latest: dict[tuple[str, str], list[Annotation]] = {}
        for line in self.lines:
            if isinstance(line, Annotation) and line.id not in undone:
                earlier = latest.get((line.reviewer, line.image_id), [])
                latest[line.reviewer, line.image_id] = [one for one in earlier if not one.is_like(line)] + [line]
        holding = {id(one) for several in latest.values() for one in several}
        return tuple(line for line in self.lines if isinstance(line, Annotation) and id(line) in holding)

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The valid annotations by image and set of classes, in order."""
        images: dict[str, list[list[Annotation]]] = {}
        for one in self.current:
            asked = images.setdefault(one.image_id, [])
            alike = next((several for several in asked if several[0].is_like(one)), None)
            if alike is None:
                asked.append([one])
            else:
                alike.append(one)
        return tuple(
            Verdict(key, several[0].image, tuple(several)) for key, asked in images.items() for several in asked
        )

    def of(self, labels: Sequence[str]) -> Annotations:
        """The annotations for models with these classes, and all undos."""
        wanted = classes_id(labels)
        return Annotations(
            tuple(
                line
                for line in self.lines
                if isinstance(line, Undo)
                or (line.classes == wanted if line.classes else {line.label, line.model_label} & set(labels))
            ),
            self.skipped,
        )

    def __add__(self, other: Annotations) -> Annotations:
        """The lines of both files, this one's first."""
        return Annotations(self.lines + other.lines, self.skipped + other.skipped)


class AnnotationFile:
    """A file of annotations to which this and other processes append.

    Args:
        path: of the file, which is created with its folder when the first line is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = Annotations()
        self._end = 0

    def append(self, line: Annotation | Undo) -> None:
        """Append one line and wait until it is on disk.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        try:
            journal.append(self.path, line.to_json())
        except OSError as exc:
            raise ConfigurationError(f"{self.path} cannot be written: {exc.strerror}; nothing is saved") from exc

    def read(self) -> Annotations:
        """The current content of the file; only new lines are read.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        try:
            documents, self._end = journal.read(self.path, self._end)
        except OSError as exc:
            raise ConfigurationError(f"{self.path} cannot be read: {exc.strerror}") from exc
        if not self._end:
            self._read = Annotations()
        if documents:
            self._read += _parsed(documents)
        return self._read


def read_annotations(path: Path) -> Annotations:
    """The content of a file of annotations.

    Raises:
        ConfigurationError: the file does not exist or cannot be read.
    """
    if not path.exists():
        raise ConfigurationError(f"there are no review answers {path}: `scones review` writes them")
    return AnnotationFile(path).read()


def _parsed(documents: Sequence[object]) -> Annotations:
    lines = tuple(line for document in documents if (line := _line(document)) is not None)
    return Annotations(lines, len(documents) - len(lines))


def _line(document: object) -> Annotation | Undo | None:
    if not isinstance(document, dict):
        return None
    reads: dict[object, Callable[[Mapping[str, object]], Annotation | Undo]] = {"answer": _answer, "undo": _undo}
    try:
        return reads[document["kind"]](document)
    except (ValueError, TypeError, KeyError):  # pydantic's ValidationError is a ValueError
        return None


def _answer(fields: Mapping[str, object]) -> Annotation:
    model = fields["model"]
    return Annotation(
        id=_text(fields, "id"),
        time=_time(fields),
        reviewer=_text(fields, "reviewer"),
        image_id=_text(fields, "image_id"),
        image=ImageRef.model_validate(fields["image"]),
        label=_text(fields, "label"),
        model=None if model is None else _text(fields, "model"),
        model_label=_text(fields, "model_label"),
        confidence=_share(fields, "confidence"),
        threshold=_share(fields, "threshold"),
        classes=None if fields.get("classes") is None else _text(fields, "classes"),
    )


def _undo(fields: Mapping[str, object]) -> Undo:
    return Undo(_time(fields), _text(fields, "reviewer"), _text(fields, "answer"))


def _time(fields: Mapping[str, object]) -> datetime:
    time = datetime.fromisoformat(_text(fields, "time"))
    if time.tzinfo is None:
        raise ValueError("time")
    return time


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value:
        raise TypeError(name)
    return value


def _share(fields: Mapping[str, object], name: str) -> float:
    value = fields[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value <= 1.0:
        raise ValueError(name)
    return float(value)
