"""Sources of images. A new kind of source is one class with ``name``, ``classes`` and ``listing``.

``listing`` must be deterministic; it returns read functions, so that images are read when needed and a slow source
can be read concurrently.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from scones_ml.dataset.records import Split
from scones_ml.errors import DatasetError, ImageTooLargeError, MissingExtraError
from scones_ml.images import ImagePolicy
from scones_ml.printable import printable

if TYPE_CHECKING:
    from types import ModuleType

    from scones_ml.dataset.checks import Problem

__all__ = [
    "SPLIT_NAMES",
    "TEST",
    "Candidate",
    "Listing",
    "Source",
    "Synthetic",
    "match_name",
    "read_file",
    "split_named",
]

TEST: Final = "test"

_SPLITS: Final[Mapping[str, Split]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "calibration": "calibration",
    "test": "test",
    "testing": "test",
}
SPLIT_NAMES: Final = tuple(_SPLITS)
"""Accepted spellings of splits, in lower case."""

_SET = re.compile(r"[-_ ]?(set|data|images|split)$")  # train_set, Test Images


def split_named(name: str) -> Split | None:
    """Split named by a folder, a file's stem or a manifest's cell: ``Train``, ``val``, ``test_set``."""
    return _SPLITS.get(_SET.sub("", name.strip().casefold()))


def match_name(name: str, there: Iterable[str]) -> str:
    """Matching name among those given: equal, or equal after escaping and Unicode composition; else unchanged."""
    known = tuple(there)
    if name in known:
        return name
    wanted = unicodedata.normalize("NFC", printable(name))
    return next((other for other in known if unicodedata.normalize("NFC", other) == wanted), name)


@dataclass(frozen=True)
class Candidate:
    """A file that may be an image of a class.

    Attributes:
        name: display name, unique within the source: ``train/bicycle/a.jpg``.
        class_name: its class.
        split: fixed split, such as the source's own test set; None to draw one.
        expected: whether its name is an image's: if unreadable, it is then reported as a problem, else ignored.
        read: returns its bytes; raises OSError or ImageTooLargeError.
        columns: other cells of its manifest line as text, by name.
        identity: replaces the digest of its bytes, which for synthetic images depend on the size.
    """

    name: str
    class_name: str
    split: Split | None
    expected: bool
    read: Callable[[], bytes]
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    identity: str | None = None


@dataclass(frozen=True)
class Listing:
    """Contents of a source for the requested classes.

    Attributes:
        candidates: possible images, in the order of their names.
        ignored: number of ignored files: hidden files, manifests, files outside class folders.
        at_a_time: number of concurrent reads; more than one for sources with latency.
        ignored_by_kind: numbers of ignored files by kind: ``{"videos": 2}``.
        problems: images left out by the source, such as those without a label.
    """

    candidates: tuple[Candidate, ...]
    ignored: int
    at_a_time: int = 1
    ignored_by_kind: Mapping[str, int] = field(default_factory=dict, hash=False)
    problems: tuple[Problem, ...] = ()


class Source(Protocol):
    """A source of labelled images."""

    @property
    def name(self) -> str:
        """Name for messages and dataset.json."""
        ...

    def classes(self) -> tuple[str, ...]:
        """All classes in label order; raises DatasetError if the source cannot be used."""
        ...

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Files of these classes."""
        ...


@dataclass(frozen=True)
class Synthetic:
    """Synthetic images of bicycles and motorcycles, see ``scones_ml.dataset.synthetic``.

    Attributes:
        per_class: number of images of each class.
        size: side in pixels, and the default image size.
        seed: random seed; image i of a seed does not depend on ``per_class``.
    """

    per_class: int = 300
    size: int = 128  # the smallest size the pretrained backbone accepts
    seed: int = 0

    @property
    def name(self) -> str:
        """``synthetic`` with its parameters."""
        return f"synthetic, {self.per_class} images a class, seed {self.seed}"

    def classes(self) -> tuple[str, ...]:
        """Kinds of vehicles."""
        if self.per_class < 1:
            raise DatasetError(f"{self.per_class} synthetic images a class: give 1 or more")
        kinds: tuple[str, ...] = _renderer().KINDS
        return kinds

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Images, drawn when read."""
        renderer = _renderer()
        return Listing(
            tuple(
                Candidate(
                    f"{kind}/{kind}_{i:06d}.png",
                    kind,
                    None,
                    True,
                    partial(renderer.draw_png, kind, self.seed, i, self.size),
                    identity=f"{self.seed}/{kind}/{i}",
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


def read_file(path: Path) -> bytes:
    """Read a file's bytes.

    Raises:
        ImageTooLargeError: the file exceeds the image policy's limit.
        OSError: the file cannot be read.
    """
    limit = ImagePolicy().max_bytes
    size = path.stat().st_size
    if size > limit:
        raise ImageTooLargeError(f"{size:,} bytes exceed the limit of {limit:,}: make it smaller")
    return path.read_bytes()
