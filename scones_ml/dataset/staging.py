"""From a source to a staged data set: read, normalise, check, split, write, and only then show it."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from scones_ml.dataset import records as staged
from scones_ml.dataset.annotated import AnnotatedImages, ExtendedDataset
from scones_ml.dataset.checks import Problem, StagedImage, drop_repeats
from scones_ml.dataset.folders import Folder
from scones_ml.dataset.grouping import KeptTogether, drop_leaks, group_names, keep_together, signature_version
from scones_ml.dataset.opening import DOWNLOADS, open_source
from scones_ml.dataset.reading import Reading, read_all
from scones_ml.dataset.records import SPLITS, Dataset, Record
from scones_ml.dataset.replacing import replacing
from scones_ml.dataset.resolution import choose_size
from scones_ml.dataset.sources import TEST, Listing, Source, Synthetic, match_name
from scones_ml.dataset.splits import split_images
from scones_ml.errors import DatasetError
from scones_ml.ports import ObjectStore, Progress, no_progress
from scones_ml.printable import printable
from scones_ml.wording import counted

__all__ = ["StageResult", "stage"]

_LARGEST_SIZE = 4_096  # pixels, as of a model
_LONGEST_NAME = 100  # with the hash and .png still far below the 255 bytes that file systems take


@dataclass(frozen=True)
class StageResult:
    """What staging made of a source.

    Attributes:
        dataset: the data set, as ``load`` reads it.
        problems: every image that was left out, with the reason; also in dataset.json.
        larger: how many images were reduced.
        ignored: how many files were no images and not meant to be: hidden ones, manifests, notes; or how many answers
            were in dispute or of no class here.
        ignored_by_kind: how many of each kind, in words: ``{"videos": 2}``; also in dataset.json.
        together: how many images were kept in one split, and why.
    """

    dataset: Dataset
    problems: tuple[Problem, ...]
    larger: int
    ignored: int
    ignored_by_kind: Mapping[str, int] = field(default_factory=dict, hash=False)
    together: KeptTogether = field(default_factory=KeptTogether)

    def __str__(self) -> str:
        return "\n".join([str(self.dataset), *map(printable, self._notes())])

    def _repr_html_(self) -> str:
        from scones_ml.dataset.gallery import as_html

        return as_html(self.dataset, *self._notes())

    def _notes(self) -> list[str]:
        if not self.problems:
            return []
        first = self.problems[0]
        return [f"left out: {counted(len(self.problems), 'image')}, {first.name} first: {first.reason}"]


def stage(
    source: str | Path | Source,
    destination: str | Path,
    *,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    image_size: int | None = None,
    progress: Progress = no_progress,
    store: ObjectStore | None = None,
    downloads: str | Path = DOWNLOADS,
    label_attribute: str | None = None,
    group_by: str | None = None,
    workspace: Path | None = None,
) -> StageResult:
    """Read, check, split and write a data set.

    A source with a test set keeps it untouched; its other images are split 80/10/10 into train, validation and
    calibration. A source without one gives one image in five to test first. Splits are stratified by class and
    depend on the seed and the bytes of the source's files alone, neither on their names nor on the image size. Images
    that are nearly the same stay in one split, and none is trained on that is nearly the same as an image of the
    source's test set. Every image keeps its proportions: what makes a square of it is the model's own affair.

    Args:
        source: a folder of class folders (with or without train/ and test/), a CIFAR-100 archive or its https URL,
            ``"cifar100"`` for the published one, a ``.lst``, JSON Lines or CSV manifest, a RecordIO file, ``s3://`` and
            a prefix or one of these files, ``"synthetic"``, or a Source, such as :class:`AnnotatedImages` of reviewers
            or an :class:`ExtendedDataset`. What a file is, its content decides, not its name.
        destination: the folder to make. An earlier data set there is replaced, anything else is left alone.
        classes: which classes, in the order of their labels; all of them, sorted, when None. For a ``.lst`` and for
            RecordIO, which have numbers only, the names of all labels. Where folders hold folders, those of these names
            are the class folders.
        seed: decides the splits; those of a data set that was staged before stay as they are.
        image_size: the shorter side of an image is reduced to at most this many pixels; models see squares of this
            side. None takes 224 where most images have 64 pixels or more on the shorter side, 32 elsewhere, and of
            synthetic images the size that they are drawn at. A data set that is extended keeps its own, and the image
            policy that it was staged by.
        progress: called with (images read, images there are); before that, with bytes or objects downloaded.
        store: where ``s3://`` is.
        downloads: the folder that keeps what was downloaded, so that it is fetched once.
        label_attribute: the field of a manifest that holds the labels, such as that of a SageMaker Ground Truth job;
            the one that there is when None.
        group_by: which images belong together and stay in one split, such as several of one vehicle: a manifest's
            column, or a regular expression that is searched in the images' names and whose first group, or else all
            that it matches, names theirs. Images without a name are split one by one.
        workspace: that has the staging on record: its clean-up may remove what is left where the staging is killed.

    Raises:
        DatasetError: the source or the destination cannot be used; one line that says why and what to do. Nothing is
            left at the destination then, nor when the call is interrupted.
    """
    if image_size is not None and not 1 <= image_size <= _LARGEST_SIZE:
        raise DatasetError(f"images of {image_size} pixels a side cannot be staged: choose 1 to {_LARGEST_SIZE:,}")
    origin = open_source(
        source,
        seed=seed,
        image_size=image_size or Synthetic.size,
        names=tuple(classes or ()),
        store=store,
        downloads=Path(downloads),
        progress=progress,
        label_attribute=label_attribute,
    )
    with _reading(origin):
        chosen = _choose_classes(origin, classes)
        listing = origin.listing(chosen)
    reading = _how_to_read(origin, listing, image_size)
    settled = isinstance(origin, ExtendedDataset) or {found.split for found in listing.candidates} >= set(SPLITS)
    if not settled:
        listing = _with_test_alone(listing)
    groups = group_names(listing.candidates, group_by)
    target = _usable_destination(Path(destination), origin)
    with replacing(target, workspace) as work:
        images, left_out, ignored = read_all(listing, groups, work, reading, progress)
        # The splits of a data set that is extended are there already, and its images at its size are all there is.
        kept, repeats = drop_repeats(images, by="digest" if isinstance(origin, ExtendedDataset) else "canonical")
        kept, leaks = drop_leaks(kept, _untouched(origin, listing) if settled else frozenset())
        _check_classes(origin, chosen, kept, [*left_out, *repeats, *leaks])
        kept_together, together = keep_together(kept)
        kept, same = split_images(kept, chosen, seed, kept_together)
        problems = sorted([*left_out, *repeats, *leaks, *same], key=lambda problem: problem.name)
        records = _place(kept, chosen, _groups(origin, kept_together), work)
        facts = {
            "seed": seed,
            "image_size": reading.size,
            "policy": reading.policy,
            "source": origin.name,
            "larger": reading.larger + (origin.data.larger if isinstance(origin, ExtendedDataset) else 0),
            "ignored": ignored.total(),
            "ignored_by_kind": dict(sorted(ignored.items())),
            "problems": [asdict(problem) for problem in problems],
            "extended_from": _extended_from(origin),
            "group_by": group_by,
            "signature_version": signature_version(),
            "near_duplicate_groups": together.alike_groups,
        }
        staged.write(work, chosen, records, facts)
    by_kind = dict(sorted(ignored.items()))
    return StageResult(staged.load(target), tuple(problems), reading.larger, ignored.total(), by_kind, together)


def _how_to_read(origin: Source, listing: Listing, image_size: int | None) -> Reading:
    """Image size and policy; those of a data set that is extended stay."""
    if isinstance(origin, ExtendedDataset):
        return Reading(origin.data.image_size, origin.data.policy)
    drawn = origin.size if isinstance(origin, Synthetic) else None
    return Reading(image_size or drawn or choose_size(listing.candidates))


def _with_test_alone(listing: Listing) -> Listing:
    """A source's own test set is kept; its other splits are pooled, unless they are the four that staging makes."""
    candidates = (found if found.split == TEST else replace(found, split=None) for found in listing.candidates)
    return replace(listing, candidates=tuple(candidates))


def _untouched(origin: Source, listing: Listing) -> frozenset[str]:
    """Images that stay in their splits whatever they are like: those of a data set that was staged before."""
    if isinstance(origin, ExtendedDataset):
        return frozenset(record.path for record in origin.data.records)
    return frozenset(found.name for found in listing.candidates)


def _extended_from(origin: Source) -> list[str]:
    return [*origin.data.extended_from, origin.data.hash] if isinstance(origin, ExtendedDataset) else []


def _choose_classes(origin: Source, wanted: Sequence[str] | None) -> tuple[str, ...]:
    there = origin.classes()
    if wanted is None and isinstance(origin, AnnotatedImages) and origin.tasks > 1:
        raise DatasetError(
            f"{origin.name} answers models of {origin.tasks} different sets of classes, and names "
            f"{', '.join(there)}: choose one set with --classes a,b"
        )
    chosen = there if wanted is None else tuple(dict.fromkeys(match_name(name, there) for name in wanted))
    for name in chosen:
        if name not in there:
            near = difflib.get_close_matches(name, there, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DatasetError(f"no class {name!r} in {origin.name}: {hint}There are {', '.join(there)}")
    if len(chosen) < 2:
        names = ", ".join(chosen) or "none"
        raise DatasetError(f"telling classes apart needs at least two, and of {origin.name} there is only {names}")
    return chosen


def _usable_destination(destination: Path, origin: Source) -> Path:
    target = destination.resolve()
    if isinstance(origin, Folder | ExtendedDataset):
        root = origin.root.resolve()
        if target.is_relative_to(root) or root.is_relative_to(target):
            raise DatasetError(f"source {origin.root} and destination {destination} overlap: choose a folder beside it")
    if target.exists() and not target.is_dir():
        raise DatasetError(f"{destination} is a file: choose a folder that does not exist yet")
    if target.is_dir() and any(target.iterdir()) and not staged.is_staged(target):
        raise DatasetError(f"{destination} holds something else than a staged data set: choose another folder")
    return target


@contextmanager
def _reading(origin: Source) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise DatasetError(f"cannot read {exc.filename or origin.name}: {exc.strerror or exc}") from exc


def _check_classes(
    origin: Source, classes: Iterable[str], kept: Sequence[StagedImage], problems: Sequence[Problem]
) -> None:
    if not kept and problems:
        first = problems[0]
        raise DatasetError(
            f"none of the {len(problems)} images in {origin.name} can be used; {first.name}: {first.reason}"
        )
    present = {image.class_name for image in kept}
    for name in classes:
        if name not in present:
            raise DatasetError(
                f"class {name!r} of {origin.name} has no usable images: add some, or leave it out with --classes"
            )


def _groups(origin: Source, kept_together: Iterable[Sequence[StagedImage]]) -> dict[str, str]:
    """The group of each image that has one, by the image's name; a group is called after the first of its sources."""
    found = {image.name: min(other.source for other in group)[:16] for group in kept_together for image in group}
    if isinstance(origin, ExtendedDataset):
        found |= {record.path: record.group for record in origin.data.records}
    return found


def _place(
    assigned: Iterable[StagedImage], classes: tuple[str, ...], groups: Mapping[str, str], work: Path
) -> list[Record]:
    """Move each image to SPLIT/CLASS/NAME.png under a name that is safe on every file system and in a URL."""
    folders = _folder_names(classes)
    taken: set[str] = set()
    found: list[Record] = []
    for image in sorted(assigned, key=lambda image: image.name):
        split = image.split or "train"
        label = classes.index(image.class_name)
        stem = Path(image.name).stem
        path = f"{split}/{folders[label]}/{_safe(stem)}.png"
        if _safe(stem) != stem or path.casefold() in taken:
            path = f"{split}/{folders[label]}/{_safe(stem)}-{image.digest[:16]}.png"
        taken.add(path.casefold())
        target = work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        image.file.replace(target)
        found.append(Record(path, label, image.class_name, split, image.digest, groups.get(image.name, "")))
    shutil.rmtree(work / "incoming")  # what was dropped is still there
    return sorted(found, key=lambda record: (SPLITS.index(record.split), record.label, record.path))


def _folder_names(classes: Iterable[str]) -> list[str]:
    names: list[str] = []
    for label, name in enumerate(classes):
        clashes = _safe(name).casefold() in {other.casefold() for other in names}
        names.append(f"{_safe(name)}-{label}" if clashes or _safe(name) != name else name)
    return names


def _safe(name: str) -> str:
    """Letters, digits, ``._-`` only, no dot or dash in front, not too long."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-")[:_LONGEST_NAME] or "picture"
