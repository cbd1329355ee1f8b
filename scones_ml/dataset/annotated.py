"""Reviewers' answers as a source, and a staged data set that is extended by them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml.dataset.manifests import read_stored
from scones_ml.dataset.sources import Candidate, Listing, read_file
from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.ports import CONCURRENT_REQUESTS
from scones_ml.review.annotations import NONE_OF_THESE, Verdict, read_annotations

if TYPE_CHECKING:
    from scones_ml.dataset.records import Dataset
    from scones_ml.ports import ObjectStore

__all__ = ["AnnotatedImages", "ExtendedDataset", "is_annotations"]

_UNDECIDED = "answers in dispute, or of no class here"
_NONE = f"answers “{NONE_OF_THESE}”"


def is_annotations(path: Path) -> bool:
    """Whether a file holds reviewers' answers, see :mod:`scones_ml.review.annotations`; its first line says so."""
    with path.open("rb") as file:
        first = file.readline(4096)
    return first.startswith(b"{") and b'"kind": "answer"' in first


@dataclass(frozen=True)
class AnnotatedImages:
    """The images that reviewers agree on, under the class that they named.

    Attributes:
        path: the file of answers that ``scones review`` writes.
        store: holds the images.
    """

    path: Path
    store: ObjectStore

    @property
    def name(self) -> str:
        """The file, as given."""
        return str(self.path)

    def classes(self) -> tuple[str, ...]:
        """The classes that were named, sorted.

        Raises:
            DatasetError: no such file, or no class is named in it.
        """
        names = {label for _, label in self._agreed}
        if not names:
            raise DatasetError(f"{self.path} names no class that its reviewers agree on: run `scones review` first")
        return tuple(sorted(names))

    @property
    def tasks(self) -> int:
        """How many sets of classes the answers chose from, as far as they say it."""
        return len({one.classes for verdict, _ in self._agreed for one in verdict.annotations if one.classes})

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """The images of these classes, at the version that was shown; others, of none, and in dispute are ignored."""
        found = [
            Candidate(
                verdict.image.uri,
                label,
                None,
                True,
                partial(read_stored, self.store, verdict.image),
            )
            for verdict, label in self._agreed
            if label in classes
        ]
        ordered = tuple(sorted(found, key=lambda candidate: candidate.name))
        ignored = len(self._verdicts) - len(found)
        none = sum(verdict.label == NONE_OF_THESE for verdict in self._verdicts)
        kinds = {kind: count for kind, count in ((_UNDECIDED, ignored - none), (_NONE, none)) if count}
        return Listing(ordered, ignored, CONCURRENT_REQUESTS, kinds)

    @cached_property
    def _verdicts(self) -> tuple[Verdict, ...]:
        try:
            return read_annotations(self.path).verdicts
        except ConfigurationError as exc:
            raise DatasetError(str(exc)) from exc

    @cached_property
    def _agreed(self) -> tuple[tuple[Verdict, str], ...]:
        """What can be learned; “none of these” is no class."""
        labels = ((verdict, verdict.label) for verdict in self._verdicts)
        return tuple((verdict, label) for verdict, label in labels if label is not None and label != NONE_OF_THESE)


@dataclass(frozen=True)
class ExtendedDataset:
    """A staged data set with reviewers' answers added to what it teaches.

    Every image of the data set stays in its split, so what an earlier model learned from never judges a later one.
    The answers only teach: images reach a reviewer because they are doubtful, and figures from doubtful images
    would say nothing of the others. Answers that name no class of the data set are left out and counted.

    Attributes:
        data: the data set.
        answers: what is added.
    """

    data: Dataset
    answers: AnnotatedImages

    @property
    def name(self) -> str:
        """Both, as given."""
        return f"{self.data.root} and {self.answers.name}"

    @property
    def root(self) -> Path:
        """The data set's folder."""
        return self.data.root

    def classes(self) -> tuple[str, ...]:
        """The data set's classes, in their order.

        Raises:
            DatasetError: the answers name none of them, or there are none.
        """
        named = self.answers.classes()
        if not set(named) & set(self.data.classes):
            raise DatasetError(
                f"{self.answers.name} names {', '.join(named)}, and {self.data.root} knows "
                f"{', '.join(self.data.classes)}: nothing is to be added"
            )
        return self.data.classes

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """The data set's images and the answers'."""
        kept = [
            Candidate(record.path, record.class_name, record.split, True, partial(read_file, self.root / record.path))
            for record in self.data.records
            if record.class_name in classes
        ]
        added = self.answers.listing(classes)
        taught = [
            Candidate(found.name, found.class_name, "train", found.expected, found.read) for found in added.candidates
        ]
        return Listing((*kept, *taught), added.ignored, added.at_a_time, added.ignored_by_kind)
