"""Staging of a source: read, normalise, check, split, write, and publish atomically."""

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
_LONGEST_NAME = 100  # with hash and .png far below file systems' limit of 255 bytes


@dataclass(frozen=True)
class StageResult:
    """Result of staging a source.

    Attributes:
        dataset: the staged data set, as from ``load``.
        problems: images left out, with reasons; also in dataset.json.
        larger: number of images reduced.
        ignored: number of other files, such as hidden files, manifests and notes, or of answers that were disputed or
            had another class.
        ignored_by_kind: numbers of ignored files by kind: ``{"videos": 2}``; also in dataset.json.
        together: numbers of images kept in one split with others.
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

    A source's test set is kept; its other images are split 80/10/10 into train, validation and calibration. Without a
    test set, one image in five becomes test first. Splits are stratified by class and depend on the seed and the bytes
    of the source's files only, not on their names or the image size. Near duplicates stay in one split, and near
    duplicates of the source's test images are removed from training. Images keep their proportions; the model makes
    them square.

    Args:
        source: a folder of class folders (with or without train/ and test/), a CIFAR-100 archive or its https URL,
            ``"cifar100"`` for the published one, a ``.lst``, JSON Lines or CSV manifest, a RecordIO file, ``s3://`` and
            a prefix or one of these files, ``"synthetic"``, or a Source, such as :class:`AnnotatedImages` or
            :class:`ExtendedDataset`. File types are detected from the content, not the name.
        destination: folder to create. An earlier data set there is replaced; any other content is an error.
        classes: class names in label order; None for all, sorted. For a ``.lst`` and for RecordIO, whose labels are
            numbers, the names of all labels. In nested folders, folders of these names are the class folders.
        seed: random seed of the splits; the splits of an already staged data set are kept.
        image_size: maximum shorter side of the stored images, and side of the model's square, in pixels. None for 224
            if most images have 64 pixels or more on the shorter side, else 32; for synthetic images the size they are
            drawn at. An extended data set keeps its size and its image policy.
        progress: called with (images read, images in all); before that, with bytes or objects downloaded.
        store: object store of ``s3://`` URIs.
        downloads: folder for downloads, which are fetched once.
        label_attribute: field of a manifest with the labels, such as that of a SageMaker Ground Truth job; None if
            there is only one.
        group_by: keeps images of one group in one split, such as several of one vehicle: a manifest's column, or a
            regular expression that is searched in the images' names; its first capturing group, or else the whole
            match, is the group's name. Images without a group are split individually.
        workspace: workspace that records the staging, whose clean-up may remove the remains if it is killed.

    Raises:
        DatasetError: the source or the destination cannot be used. Then, or if interrupted, the destination is not
            changed.
    """
    if image_size is not None and not 1 <= image_size <= _LARGEST_SIZE:
        raise DatasetError(f"image size {image_size} is out of range: choose 1 to {_LARGEST_SIZE:,} pixels")
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
        # An extended data set has its splits, and its images exist at its size only.
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
    """Image size and policy; an extended data set keeps its own."""
    if isinstance(origin, ExtendedDataset):
        return Reading(origin.data.image_size, origin.data.policy)
    drawn = origin.size if isinstance(origin, Synthetic) else None
    return Reading(image_size or drawn or choose_size(listing.candidates))


def _with_test_alone(listing: Listing) -> Listing:
    """Keep a source's test set and pool its other splits, unless they are the four of staging."""
    candidates = (found if found.split == TEST else replace(found, split=None) for found in listing.candidates)
    return replace(listing, candidates=tuple(candidates))


def _untouched(origin: Source, listing: Listing) -> frozenset[str]:
    """Names of images that keep their splits in any case: those of an extended data set."""
    if isinstance(origin, ExtendedDataset):
        return frozenset(record.path for record in origin.data.records)
    return frozenset(found.name for found in listing.candidates)


def _extended_from(origin: Source) -> list[str]:
    return [*origin.data.extended_from, origin.data.hash] if isinstance(origin, ExtendedDataset) else []


def _choose_classes(origin: Source, wanted: Sequence[str] | None) -> tuple[str, ...]:
    there = origin.classes()
    if wanted is None and isinstance(origin, AnnotatedImages) and origin.tasks > 1:
        raise DatasetError(
            f"{origin.name} holds answers for {origin.tasks} different sets of classes, with "
            f"{', '.join(there)}: choose one set with --classes a,b"
        )
    chosen = there if wanted is None else tuple(dict.fromkeys(match_name(name, there) for name in wanted))
    for name in chosen:
        if name not in there:
            near = difflib.get_close_matches(name, there, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DatasetError(f"no class {name!r} in {origin.name}: {hint}choose from {', '.join(there)}")
    if len(chosen) < 2:
        names = ", ".join(chosen) or "none"
        raise DatasetError(f"{origin.name} has too few classes ({names}): give two or more")
    return chosen


def _usable_destination(destination: Path, origin: Source) -> Path:
    target = destination.resolve()
    if isinstance(origin, Folder | ExtendedDataset):
        root = origin.root.resolve()
        if target.is_relative_to(root) or root.is_relative_to(target):
            raise DatasetError(
                f"source {origin.root} and destination {destination} overlap: choose another destination"
            )
    if target.exists() and not target.is_dir():
        raise DatasetError(f"{destination} is a file: choose a folder that does not exist yet")
    if target.is_dir() and any(target.iterdir()) and not staged.is_staged(target):
        raise DatasetError(f"{destination} is not empty and not a staged data set: choose another folder")
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
    """Group of each grouped image, by image name; a group is named after its first source digest."""
    found = {image.name: min(other.source for other in group)[:16] for group in kept_together for image in group}
    if isinstance(origin, ExtendedDataset):
        found |= {record.path: record.group for record in origin.data.records}
    return found


def _place(
    assigned: Iterable[StagedImage], classes: tuple[str, ...], groups: Mapping[str, str], work: Path
) -> list[Record]:
    """Move each image to SPLIT/CLASS/NAME.png, with a name that is safe on every file system and in URLs."""
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
    shutil.rmtree(work / "incoming")  # dropped images
    return sorted(found, key=lambda record: (SPLITS.index(record.split), record.label, record.path))


def _folder_names(classes: Iterable[str]) -> list[str]:
    names: list[str] = []
    for label, name in enumerate(classes):
        clashes = _safe(name).casefold() in {other.casefold() for other in names}
        names.append(f"{_safe(name)}-{label}" if clashes or _safe(name) != name else name)
    return names


def _safe(name: str) -> str:
    """Name with letters, digits and ``._-`` only, no leading dot or dash, of limited length."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-")[:_LONGEST_NAME] or "picture"
