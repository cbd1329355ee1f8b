"""Where images come from. A new kind of source is one class with ``name``, ``classes`` and ``listing`` here.

``listing`` must be the same for the same source each time; it hands out readers, so that nothing is read before it is
needed and a slow source can be read in parallel.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from scones_ml.dataset.records import Split
from scones_ml.errors import DatasetError, ImageTooLargeError, MissingExtraError
from scones_ml.images import ImagePolicy

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["POOLED", "TEST", "Candidate", "Folder", "Listing", "Source", "Synthetic", "read_file"]

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
TEST: Final = "test"
POOLED = ("train", "validation", "valid", "val", "calibration")  # all but test is split anew


@dataclass(frozen=True)
class Candidate:
    """A file that may be an image of a class.

    Attributes:
        name: unique within the source, as shown to people: ``train/bicycle/a.jpg``.
        class_name: its class.
        split: the split that it belongs to and stays in, such as the source's own test set; drawn when None.
        expected: whether its name says image: one that cannot be opened is then a problem, else it is ignored.
        read: returns its bytes; raises OSError or ImageTooLargeError.
    """

    name: str
    class_name: str
    split: Split | None
    expected: bool
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Listing:
    """What a source holds of the classes asked for.

    Attributes:
        candidates: in the order of their names.
        ignored: how many files are none of it: hidden ones, manifests, files outside of class folders.
        at_a_time: how many to read at once; more than one where reading is waiting.
    """

    candidates: tuple[Candidate, ...]
    ignored: int
    at_a_time: int = 1


class Source(Protocol):
    """Something that images with labels can be read from."""

    @property
    def name(self) -> str:
        """What to call it in messages and in dataset.json."""
        ...

    def classes(self) -> tuple[str, ...]:
        """All classes there are, in the order of their labels; DatasetError when the source cannot be used."""
        ...

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """The files of these classes."""
        ...


@dataclass(frozen=True)
class Synthetic:
    """Bicycles and motorcycles that ``scones_ml.dataset.synthetic`` draws.

    Attributes:
        per_class: how many of each.
        size: side in pixels.
        seed: another seed draws other images; image i of a seed is the same whatever ``per_class`` is.
    """

    per_class: int = 600
    size: int = 32
    seed: int = 0

    @property
    def name(self) -> str:
        """``synthetic`` with what was asked for."""
        return f"synthetic, {self.per_class} images a class, seed {self.seed}"

    def classes(self) -> tuple[str, ...]:
        """The kinds of vehicle that can be drawn."""
        if self.per_class < 1:
            raise DatasetError(f"{self.per_class} synthetic images a class are none: ask for at least one")
        kinds: tuple[str, ...] = _renderer().KINDS
        return kinds

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Images that are drawn when they are read."""
        renderer = _renderer()
        return Listing(
            tuple(
                Candidate(
                    f"{kind}/{kind}_{i:06d}.png",
                    kind,
                    None,
                    True,
                    partial(renderer.draw_png, kind, self.seed, i, self.size),
                )
                for kind in renderer.KINDS
                if kind in classes
                for i in range(self.per_class)
            ),
            ignored=0,
        )


def _renderer() -> ModuleType:
    try:
        from scones_ml.dataset import synthetic
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "onnx") from exc
    return synthetic


@dataclass(frozen=True)
class Folder:
    """A folder of class folders, or one with ``train/`` and maybe ``test/`` that hold the class folders.

    Folders ``validation``, ``val``, ``valid`` and ``calibration`` beside ``train`` are pooled with it. Links to files
    are read, links to folders inside of a class are not followed.
    """

    root: Path

    @property
    def name(self) -> str:
        """The folder, as given."""
        return str(self.root)

    def classes(self) -> tuple[str, ...]:
        """Names of the class folders."""
        names = {path.name for branch in self._branches for path in _folders(branch)}
        if not names:
            raise DatasetError(self._why_no_classes())
        return tuple(sorted(names))

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """All regular files below the class folders."""
        candidates: list[Candidate] = []
        ignored = sum(_is_file(path) for path in {self.root, *self._branches} for path in path.iterdir())
        for branch in self._branches:
            for class_name in classes:
                visible, hidden = _walk(branch / class_name)
                ignored += hidden
                candidates += [self._candidate(path, class_name, branch) for path in visible]
        return Listing(tuple(sorted(candidates, key=lambda candidate: candidate.name)), ignored)

    def _candidate(self, path: Path, class_name: str, branch: Path) -> Candidate:
        return Candidate(
            name=_shown(path.relative_to(self.root)),
            class_name=class_name,
            split=TEST if self._split and branch.name == TEST else None,
            expected=path.suffix.lower() in _IMAGE_SUFFIXES,
            read=partial(read_file, path),
        )

    @cached_property
    def _split(self) -> bool:
        # A class may be called "train" too: then its folder holds images, not folders.
        return bool(_folders(self.root / "train"))

    @cached_property
    def _branches(self) -> tuple[Path, ...]:
        if not self.root.exists():
            raise DatasetError(
                f"there is no folder {self.root}: name a folder that holds one folder of images for each class"
            )
        if not self.root.is_dir():
            raise DatasetError(f"{self.root} is a file, not a folder of class folders")
        if not self._split:
            return (self.root,)
        return tuple(path for path in _folders(self.root) if path.name in (*POOLED, TEST))

    def _why_no_classes(self) -> str:
        files = [path for path in self.root.iterdir() if _is_file(path) and not path.name.startswith(".")]
        if any(path.suffix.lower() in _IMAGE_SUFFIXES for path in files):
            return (
                f"{self.root} holds loose images, but no class folders: put them into one folder for each class, "
                f"like {self.root / 'bicycle'} and {self.root / 'motorcycle'}"
            )
        what = "no images" if files else "nothing"
        return f"{self.root} holds {what}: it must hold one folder of images for each class"


def _shown(path: Path) -> str:
    """A path as text that can be printed, also when its bytes are no UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a loop of links
        return False


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _walk(root: Path) -> tuple[list[Path], int]:
    """Visible files below a folder, and how many were hidden or neither file nor folder."""
    visible: list[Path] = []
    hidden = 0
    for folder, folders, names in os.walk(root, onerror=_raise) if root.exists() else ():
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            # A broken link is kept, so that it is reported; a pipe or a device is not, since reading it could block.
            if name.startswith(".") or (path.exists() and not _is_file(path)):
                hidden += 1
            else:
                visible.append(path)
    return visible, hidden


def _raise(error: OSError) -> None:
    raise error  # os.walk would pass over a folder that it may not read


def read_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        ImageTooLargeError: more than the image policy allows.
        OSError: it cannot be read.
    """
    limit = ImagePolicy().max_bytes
    size = path.stat().st_size
    if size > limit:
        raise ImageTooLargeError(f"{size:,} bytes are more than the {limit:,} allowed")
    return path.read_bytes()
