"""Where images come from. A new kind of source is one class with ``name``, ``classes`` and ``listing``.

``listing`` must be the same for the same source each time; it hands out readers, so that nothing is read before it is
needed and a slow source can be read in parallel.
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
"""How splits are spelled, in lower case."""

_SET = re.compile(r"[-_ ]?(set|data|images|split)$")  # train_set, Test Images


def split_named(name: str) -> Split | None:
    """The split that a folder, a file's stem or a manifest's cell speaks of: ``Train``, ``val``, ``test_set``."""
    return _SPLITS.get(_SET.sub("", name.strip().casefold()))


def match_name(name: str, there: Iterable[str]) -> str:
    """The one of the names there that is meant: the same, or the same once escaped and composed; else as it is."""
    known = tuple(there)
    if name in known:
        return name
    wanted = unicodedata.normalize("NFC", printable(name))
    return next((other for other in known if unicodedata.normalize("NFC", other) == wanted), name)


@dataclass(frozen=True)
class Candidate:
    """A file that may be an image of a class.

    Attributes:
        name: unique within the source, as shown to people: ``train/bicycle/a.jpg``.
        class_name: its class.
        split: the split that it belongs to and stays in, such as the source's own test set; drawn when None.
        expected: whether its name says image: one that cannot be opened is then a problem, else it is ignored.
        read: returns its bytes; raises OSError or ImageTooLargeError.
        columns: what else a manifest says of it, as text: its line's other cells, by their names.
        identity: what it is where its bytes do not tell: drawn images differ from size to size.
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
    """What a source holds of the classes asked for.

    Attributes:
        candidates: in the order of their names.
        ignored: how many files are none of it: hidden ones, manifests, files outside of class folders.
        at_a_time: how many to read at once; more than one where reading is waiting.
        ignored_by_kind: how many of each kind, in words: ``{"videos": 2}``.
        problems: images that the source itself leaves out, such as those without a label.
    """

    candidates: tuple[Candidate, ...]
    ignored: int
    at_a_time: int = 1
    ignored_by_kind: Mapping[str, int] = field(default_factory=dict, hash=False)
    problems: tuple[Problem, ...] = ()


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
        size: side in pixels; unless told otherwise, a model sees the images at that size.
        seed: another seed draws other images; image i of a seed is the same whatever ``per_class`` is.
    """

    per_class: int = 300
    size: int = 128  # the smallest that the pretrained backbone takes
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
    """A file's bytes.

    Raises:
        ImageTooLargeError: more than the image policy allows.
        OSError: it cannot be read.
    """
    limit = ImagePolicy().max_bytes
    size = path.stat().st_size
    if size > limit:
        raise ImageTooLargeError(f"{size:,} bytes exceed the limit of {limit:,}: make it smaller")
    return path.read_bytes()
