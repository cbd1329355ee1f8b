"""Folders of class folders as a source, with split folders, wrapper folders and system files."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final, NamedTuple

from scones_ml.dataset.kinds import file_kind, says_image
from scones_ml.dataset.records import Split
from scones_ml.dataset.sources import Candidate, Listing, match_name, read_file, split_named
from scones_ml.errors import DatasetError
from scones_ml.printable import printable

__all__ = ["Folder"]

_HIDDEN, _LOOSE = "hidden and system files", "images outside class folders"
_SYSTEM_FILES: Final = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_SYSTEM_FOLDERS: Final = {"__macosx", "$recycle.bin", "system volume information", "lost+found", "@eadir"}
_PLAIN: Final = {"image", "images", "img", "imgs", "jpg", "jpeg", "png", "photos", "pictures"}
_DEEPEST = 8  # levels searched for class folders; links may form a cycle
_SHOWN = 5  # names in a message


class _Branch(NamedTuple):
    """A folder of class folders, and the split it represents."""

    folder: Path
    split: Split | None


@dataclass(frozen=True)
class Folder:
    """A folder of class folders, or of ``train/`` and optionally ``test/`` with class folders.

    Split folders are recognised in any case and common spellings (``Training``, ``val``, ``dev``, ``test_set``); all
    but the test set are pooled. A folder with a single folder of folders is descended into. Links to files are read,
    links to folders inside a class are not followed.

    Attributes:
        root: the folder.
        named: class names, if known; then folders of these names are the class folders, at any level.
    """

    root: Path
    named: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Path of the folder, as given."""
        return printable(str(self.root))

    def classes(self) -> tuple[str, ...]:
        """Names of the class folders.

        Raises:
            DatasetError: there are no class folders, or it is ambiguous which folders are classes.
        """
        if not self._folders:
            raise DatasetError(self._why_no_classes())
        if refusal := _why_not_these(self.name, self._folders, self.named) or self._spelled_differently():
            raise DatasetError(refusal)
        return tuple(sorted(self._folders))

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """All regular files in the class folders, at any depth."""
        candidates: list[Candidate] = []
        known = {branch.folder for found in self._folders.values() for branch in found}
        ignored = _outside(self.root, known)
        for class_name in classes:
            for branch in self._folders.get(class_name, ()):
                visible, left = _walk(branch.folder)
                ignored += left
                candidates += [self._candidate(path, class_name, branch.split) for path in visible]
        ordered = tuple(sorted(candidates, key=lambda candidate: candidate.name))
        return Listing(ordered, ignored.total(), ignored_by_kind=dict(sorted(ignored.items())))

    def _candidate(self, path: Path, class_name: str, split: Split | None) -> Candidate:
        name = _shown(path.relative_to(self.root))
        return Candidate(name, class_name, split, says_image(path.name), partial(read_file, path))

    @cached_property
    def _folders(self) -> dict[str, list[_Branch]]:
        """Class folders of each class, with the split of each."""
        found: dict[str, list[_Branch]] = defaultdict(list)
        for folder, split in self._branches:
            for path in _subfolders(folder):
                found[_shown(Path(path.name))].append(_Branch(path, split))
        return dict(found)

    @cached_property
    def _branches(self) -> tuple[_Branch, ...]:
        if not self.root.exists():
            raise DatasetError(
                f"there is no folder {self.name}: name a folder that holds one folder of images for each class"
            )
        if not self.root.is_dir():
            raise DatasetError(f"{self.name} is a file, not a folder of class folders")
        levels = [_entered((_Branch(self.root, None),))]
        while self._found(levels[-1]) < len(self.named) and len(levels) < _DEEPEST:
            levels.append(_entered(_below(levels[-1])))
        return max(levels, key=self._found)  # the outermost level of equal counts

    def _found(self, level: tuple[_Branch, ...]) -> int:
        there = {_shown(Path(branch.folder.name)) for branch in _below(level)}
        return sum(match_name(name, there) in there for name in self.named)

    def _spelled_differently(self) -> str:
        """Error text for a class spelled differently in two splits (``train/Bike``, ``test/bike``); else empty."""
        alike: dict[str, str] = {}
        for name, found in self._folders.items():
            other = alike.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            parents = {branch.folder.parent for branch in found}
            if other != name and parents.isdisjoint(branch.folder.parent for branch in self._folders[other]):
                return f"{self.name} holds {other!r} in one split and {name!r} in another: give both folders one name"
        return ""

    def _why_no_classes(self) -> str:
        files = [path for path in self.root.iterdir() if _is_file(path) and not _is_system(path.name)]
        if any(says_image(path.name) for path in files):
            return (
                f"{self.name} holds loose images, but no class folders: put them into one folder for each class, "
                f"like {self.root / 'bicycle'} and {self.root / 'motorcycle'}"
            )
        what = "no images" if files else "nothing"
        return f"{self.name} holds {what}: it must hold one folder of images for each class"


def _below(branches: tuple[_Branch, ...]) -> tuple[_Branch, ...]:
    return tuple(_Branch(path, split) for folder, split in branches for path in _subfolders(folder))


def _entered(branches: tuple[_Branch, ...]) -> tuple[_Branch, ...]:
    """Descend through split folders and wrappers to the folders of class folders."""
    for _ in range(_DEEPEST):
        splits = [_splits(branch) for branch in branches]
        if any(splits):
            branches = tuple(
                inner for branch, found in zip(branches, splits, strict=True) for inner in found or [branch]
            )
        elif branches and all(_wraps(branch.folder) for branch in branches):
            branches = tuple(_Branch(_subfolders(folder)[0], split) for folder, split in branches)
        else:
            break
    return branches


def _splits(branch: _Branch) -> list[_Branch]:
    """Split folders in a folder, if they hold folders themselves: a class may be called "train", too."""
    if branch.split:
        return []
    named = [_Branch(path, split_named(path.name)) for path in _subfolders(branch.folder)]
    found = [inner for inner in named if inner.split]
    holding = {inner.split for inner in found if _subfolders(inner.folder)}
    return found if "train" in holding or len(holding) > 1 else []


def _wraps(folder: Path) -> bool:
    inner = _subfolders(folder)
    if len(inner) != 1 or not _subfolders(inner[0]):
        return False
    return not _holds_images(inner[0]) or bool(_splits(_Branch(inner[0], None)))


def _why_not_these(root: str, classes: dict[str, list[_Branch]], named: Collection[str]) -> str:
    """Error text with a remedy if the folders do not look like classes; else empty."""
    if any(_holds_images(branch.folder) for found in classes.values() for branch in found):
        return ""
    inner = _inner_names({name: tuple(found) for name, found in classes.items()})
    if len(inner) < 2:
        return ""
    every = set().union(*inner.values())
    outer = _some(inner)
    if all(map(split_named, every)):
        first, split = next(iter(inner)), min(every)
        return (
            f"{root}: the class folders {outer} hold split folders ({_some(every)}): put the splits outside, "
            f"{split}/{first} instead of {first}/{split}, or name images, classes and splits in a CSV file"
        )
    if named or not _look_like_containers(inner):
        return ""
    remedy = f"the inner ones with --classes {_some(every, ',')}, or the outer ones with" if len(every) > 1 else "with"
    return (
        f"{root}: it is ambiguous which folders are the classes, as {outer} hold {_some(every)} and no images of "
        f"their own: name the classes, {remedy} --classes {_some(inner, ',')}"
    )


def _inner_names(level: dict[str, tuple[_Branch, ...]]) -> dict[str, set[str]]:
    """Names of the subfolders of each class folder; deeper where all hold only folders of one name."""
    names: dict[str, set[str]] = {}
    for _ in range(_DEEPEST):
        level = {
            name: tuple(b for branch in found for b in _splits(branch) or [branch]) for name, found in level.items()
        }
        below = {name: _below(found) for name, found in level.items()}
        if not any(below.values()):
            break
        names = {name: {_shown(Path(b.folder.name)) for b in found} for name, found in below.items() if found}
        if len(set().union(*names.values())) > 1:
            break
        level = below
    return names


def _look_like_containers(inner: dict[str, set[str]]) -> bool:
    """Whether the outer folders are years, parts or batches rather than classes."""
    every = set().union(*inner.values())
    if (len(every) == 1 and every <= _PLAIN) or all(names == {name} for name, names in inner.items()):
        return False  # bike/images, moto/images; bike/bike, moto/moto
    seen = Counter(name.casefold() for names in inner.values() for name in {n.casefold(): n for n in names})
    share = all(any(seen[name.casefold()] > 1 for name in names) for names in inner.values())
    numbered = {re.sub(r"\d+", "0", name) for name in inner}
    single = all(len(names) == 1 for names in inner.values())
    return share or single or (len(numbered) == 1 and "0" in numbered.pop())


def _some(names: Collection[str], separator: str = ", ") -> str:
    ordered = sorted(names)
    return separator.join([*ordered[:_SHOWN], *(["..."] if len(ordered) > _SHOWN else [])])


def _shown(path: Path) -> str:
    """Printable, unique text of a path, also if its bytes are not UTF-8."""
    return printable(path.as_posix().replace("\\", "\\\\"))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a loop of links
        return False


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES | _SYSTEM_FOLDERS


def _subfolders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return sorted(root / entry.name for entry in entries if not _is_system(entry.name) and entry.is_dir())


def _holds_images(root: Path) -> bool:
    with os.scandir(root) as entries:
        return any(says_image(e.name) and not _is_system(e.name) and not e.is_dir() for e in entries)


def _walk(root: Path) -> tuple[list[Path], Counter[str]]:
    """Possible images below a class folder, and counts of other files by kind."""
    visible: list[Path] = []
    ignored: Counter[str] = Counter()
    for path, hidden in _files(root, onerror=_raise):
        # Broken links are kept, to be reported; pipes and devices are not, since reading them could block.
        if not hidden and (_is_file(path) or not (path.is_dir() or path.exists())):
            visible.append(path)
        else:
            ignored[_kind(path, hidden)] += 1
    return visible, ignored


def _outside(root: Path, class_folders: Collection[Path]) -> Counter[str]:
    """Counts of files outside class folders, by kind."""
    return Counter(_kind(path, hidden) for path, hidden in _files(root, class_folders))


def _kind(path: Path, hidden: bool) -> str:
    if hidden:
        return _HIDDEN
    if path.is_dir():
        return "links to folders"
    if not _is_file(path):
        return "pipes, devices and broken links"
    return _LOOSE if says_image(path.name) else file_kind(path.name)


def _files(
    root: Path, without: Collection[Path] = (), onerror: Callable[[OSError], None] | None = None
) -> Iterator[tuple[Path, bool]]:
    """All files below a folder, in order, each with whether it is a hidden or system file."""
    hidden = {root: False}
    for parent, folders, names in os.walk(root, onerror=onerror):
        folder = Path(parent)
        folders[:] = sorted(name for name in folders if folder / name not in without)
        hidden |= {folder / name: hidden[folder] or _is_system(name) for name in folders}
        links = [name for name in folders if (folder / name).is_symlink()]
        for name in sorted([*names, *links]):
            yield folder / name, hidden[folder] or _is_system(name)


def _raise(error: OSError) -> None:
    raise error  # os.walk skips unreadable folders by default
