"""Reviewers' answers as a source, and staged data sets extended with them."""

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

_UNDECIDED = "disputed answers, or answers with another class"
_NONE = f"answers “{NONE_OF_THESE}”"


def is_annotations(path: Path) -> bool:
    """Whether a file's first line is that of reviewers' answers, see :mod:`scones_ml.review.annotations`."""
    with path.open("rb") as file:
        first = file.readline(4096)
    return first.startswith(b"{") and b'"kind": "answer"' in first


@dataclass(frozen=True)
class AnnotatedImages:
    """Images with the class that their reviewers agree on.

    Attributes:
        path: file of answers written by ``scones review``.
        store: object store of the images.
    """

    path: Path
    store: ObjectStore

    @property
    def name(self) -> str:
        """Path of the file, as given."""
        return str(self.path)

    def classes(self) -> tuple[str, ...]:
        """Classes in the answers, sorted.

        Raises:
            DatasetError: the file does not exist, or holds no class.
        """
        names = {label for _, label in self._agreed}
        if not names:
            raise DatasetError(f"{self.path} holds no class that reviewers agree on: run `scones review` first")
        return tuple(sorted(names))

    @property
    def tasks(self) -> int:
        """Number of different sets of classes offered to the reviewers, where recorded."""
        return len({one.classes for verdict, _ in self._agreed for one in verdict.annotations if one.classes})

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Images of these classes, in the version reviewed; other classes, none and disputes are ignored."""
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
        """Agreed annotations with their classes, without “none of these”."""
        labels = ((verdict, verdict.label) for verdict in self._verdicts)
        return tuple((verdict, label) for verdict, label in labels if label is not None and label != NONE_OF_THESE)


@dataclass(frozen=True)
class ExtendedDataset:
    """A staged data set with reviewers' answers added to its training split.

    Every image of the data set stays in its split, so no later model is evaluated on training images of an earlier one.
    Answers go to the training split only: images are reviewed because they are uncertain, so figures measured on them
    would not be representative. Answers with a class that the data set does not have are left out and counted.

    Attributes:
        data: the data set.
        answers: the answers to add.
    """

    data: Dataset
    answers: AnnotatedImages

    @property
    def name(self) -> str:
        """Paths of both, as given."""
        return f"{self.data.root} and {self.answers.name}"

    @property
    def root(self) -> Path:
        """Folder of the data set."""
        return self.data.root

    def classes(self) -> tuple[str, ...]:
        """Classes of the data set, in its order.

        Raises:
            DatasetError: the answers hold none of them.
        """
        named = self.answers.classes()
        if not set(named) & set(self.data.classes):
            raise DatasetError(
                f"{self.answers.name} has classes {', '.join(named)}, {self.data.root} has "
                f"{', '.join(self.data.classes)}: there is nothing to add"
            )
        return self.data.classes

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Images of the data set and of the answers."""
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
