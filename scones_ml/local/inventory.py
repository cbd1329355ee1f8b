"""Inventory of this machine: endpoints, objects, and unfinished results of killed commands.

The ledger only says where to look: it is an ordinary file that may be copied or forged. A resource is removed only if
it is in a workspace with our marker, or has a marker of this workspace itself; no link is followed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scones_ml.claims import Standing
from scones_ml.dataset.replacing import recover, remnants
from scones_ml.errors import ConfigurationError, DeploymentError, SconesError
from scones_ml.events import parse_uri
from scones_ml.limits import SAGEMAKER_NAME
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.local.in_use import forget_killed_run, removing_objects, training_in_progress
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.trainer import forget_training, half_trained
from scones_ml.locks import PATIENCE
from scones_ml.plans import Change, Ledger, Resource, is_marked
from scones_ml.ports import Leave, LeftAlone, leave_unsaid
from scones_ml.removal import names_in, open_folder, remove_tree

__all__ = ["LocalInventory"]

_ENDPOINTS: Final = "endpoints"
_BUCKETS: Final = "buckets"
_REPORT: Final = "report.part"
"""Name of the demo's unfinished report."""
_NOT_OURS: Final = "not ours: it has no marker of this workspace"
_UNREADABLE: Final = (OSError, RuntimeError, ValueError)
"""Errors of a path from outside: RuntimeError for circular links, ValueError for a path without a name."""


@dataclass(frozen=True, slots=True)
class _Result:
    """A kind of result that a user asked for by name: only unfinished ones are removed.

    Attributes:
        half_made: the owner of the unfinished parts.
        tidy: removes our unfinished parts.
    """

    half_made: Callable[[Path, Path], Standing]
    tidy: Callable[[Path, Path], None]


def _half_data_set(folder: Path, workspace: Path) -> Standing:
    found = [Standing.NOTHING, *remnants(folder, workspace).values()]
    return max(found, key=lambda standing: standing.value)


def _half_report(report: Path, workspace: Path) -> Standing:
    if not os.path.lexists(report.with_suffix(".part")):
        return Standing.NOTHING
    inside = report.with_suffix(".part").name == _REPORT and report.parent.resolve() == workspace.resolve()
    return Standing.LEFT if inside else Standing.FOREIGN


def _tidy_report(report: Path, workspace: Path) -> None:  # noqa: ARG001 - there is one
    with open_folder(workspace) as folder, suppress(FileNotFoundError):
        os.unlink(_REPORT, dir_fd=folder)


_RESULTS: Final = {
    "data set": _Result(_half_data_set, recover),
    "model": _Result(half_trained, forget_training),
    "report": _Result(_half_report, _tidy_report),
}


class LocalInventory:
    """Resources that exist, recorded or not, and unfinished ones from the ledger; finished results are kept.

    Args:
        workspace: the workspace's folder.
        store: store of its objects.
        deployer: deployer of its endpoints.
        ledger: its ledger.
    """

    def __init__(self, workspace: Path, store: DirectoryObjectStore, deployer: LocalDeployer, ledger: Ledger) -> None:
        self._workspace, self._store, self._deployer, self._ledger = workspace, store, deployer, ledger

    def resources(
        self,
        everything: bool = False,  # noqa: ARG002 - there is only this workspace
        leave: Leave = leave_unsaid,
    ) -> Sequence[Resource]:
        """See :meth:`scones_ml.ports.Inventory.resources`."""
        with suppress(OSError, ConfigurationError), self._opened():
            forget_killed_run(self._workspace)
        there = {(found.kind, found.name): found for found in self._there(leave)}
        recorded = {(found.kind, found.name): found for found in self._recorded(there, leave)}
        return [*(found for identity, found in there.items() if identity not in recorded), *recorded.values()]

    def plan_removal(self, resource: Resource) -> Change:
        """See :meth:`scones_ml.ports.Inventory.plan_removal`."""
        why = f"of run {resource.run}" if resource.run else "exists, but not in the ledger"
        if resource.kind in _RESULTS:
            why = f"left unfinished by run {resource.run}"
        return Change("delete", resource.kind, resource.name, why)

    def refusal(self) -> LeftAlone | None:
        """See :meth:`scones_ml.ports.Inventory.refusal`."""
        try:
            with self._opened():
                return None
        except FileNotFoundError:
            return None
        except ConfigurationError as exc:
            return LeftAlone("workspace", str(self._workspace), str(exc))
        except OSError as exc:
            linked = "nothing was removed, because it is a link: give the folder itself to --workspace"
            reason = linked if _is_link(self._workspace) else f"cannot be inspected: {_reason(exc)}"
            return LeftAlone("workspace", str(self._workspace), reason)

    def is_there(self, change: Change) -> bool:
        """See :meth:`scones_ml.ports.Inventory.is_there`."""
        if change.kind in _RESULTS:
            found = _RESULTS[change.kind].half_made(Path(change.name), self._workspace)
            return found in (Standing.LEFT, Standing.BUSY)
        return (change.kind, change.name) in {(found.kind, found.name) for found in self._there(leave_unsaid)}

    def takes(self, change: Change) -> tuple[str, ...]:
        """See :meth:`scones_ml.ports.Inventory.takes`."""
        return (change.name,) if change.kind == "objects" else ()

    def count(self, uri: str) -> int:
        """See :meth:`scones_ml.ports.Inventory.count`; a bucket is removed as a whole."""
        return self._store.count(parse_uri(uri)[0])

    def remove(self, change: Change) -> None:
        """See :meth:`scones_ml.ports.Inventory.remove`."""
        with self._opened() as workspace:
            if change.kind == "endpoint":
                with suppress(FileNotFoundError), open_folder(_ENDPOINTS, workspace):
                    self._deployer.remove(change.name)
            elif change.kind == "objects":
                with removing_objects(self._workspace):
                    self._remove_bucket(parse_uri(change.name)[0], workspace)
            elif change.kind in _RESULTS:
                self._tidy(_RESULTS[change.kind], Path(change.name))

    def _remove_bucket(self, bucket: str, workspace: int) -> None:
        with suppress(FileNotFoundError), open_folder(_BUCKETS, workspace) as buckets:
            if kept := remove_tree(self._store.folder_of(bucket), buckets):
                more = f", and {len(kept) - 1:,} more stay" if len(kept) > 1 else " stays"
                raise DeploymentError(f"{_BUCKETS}/{kept[0].path}{more}: {kept[0].reason}")
        with suppress(OSError):  # other buckets, or not there
            os.rmdir(_BUCKETS, dir_fd=workspace)

    def _tidy(self, result: _Result, path: Path) -> None:
        until = time.monotonic() + PATIENCE
        while result.half_made(path, self._workspace) is Standing.BUSY:
            if holder := training_in_progress(path):
                raise DeploymentError(f"{path} is being trained by {holder}: try again when it has ended")
            if time.monotonic() > until:
                raise DeploymentError("a command is using it: try again when it has ended")
            time.sleep(0.02)  # the child of a killed training ends by itself
        result.tidy(path, self._workspace)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the workspace, after checking its marker, and return its descriptor.

        Raises:
            ConfigurationError: the workspace has no marker.
            OSError: the workspace cannot be opened, or is a link.
        """
        with open_folder(self._workspace) as folder:
            if not is_marked(folder):
                raise ConfigurationError(
                    "nothing was removed, because it has no marker of ours: `scones cleanup --adopt` lists what "
                    "would be removed"
                )
            yield folder

    def _there(self, leave: Leave) -> Iterator[Resource]:
        yield from self._within("endpoint", _ENDPOINTS, self._endpoints, leave)
        yield from self._within("objects", _BUCKETS, self._objects, leave)

    def _within(
        self, kind: str, part: str, names: Callable[[int, Leave], Iterable[str]], leave: Leave
    ) -> Iterator[Resource]:
        try:
            with open_folder(self._workspace / part) as folder:
                yield from (_unrecorded(kind, name) for name in names(folder, leave))
        except FileNotFoundError:
            return
        except (OSError, SconesError) as exc:
            leave(_looked_at(self._workspace / part, exc))

    def _endpoints(self, folder: int, leave: Leave) -> Iterator[str]:  # noqa: ARG002
        for name in self._deployer.recorded():
            if re.fullmatch(SAGEMAKER_NAME, name):
                yield name
            else:
                leave(LeftAlone("endpoint", name, "not ours: not a valid endpoint name", foreign=True))

    def _objects(self, folder: int, leave: Leave) -> Iterator[str]:
        buckets = list(self._store.buckets())
        for name in set(names_in(folder)).difference(map(self._store.folder_of, buckets)):
            path = str(self._workspace / _BUCKETS / name)
            leave(LeftAlone("objects", path, "not ours: a link, or not a bucket's name", foreign=True))
        yield from (f"s3://{bucket}/" for bucket in buckets)

    def _recorded(self, there: Container[tuple[str, str]], leave: Leave) -> Iterator[Resource]:
        """Recorded resources that exist or may exist; of results only unfinished ones."""
        for found in self._ledger.resources():
            if found.place != "local":
                continue
            if found.kind not in _RESULTS:
                if (found.kind, found.name) in there or found.state != "created":
                    yield found
            elif self._is_half_made(found, leave):
                yield found

    def _is_half_made(self, found: Resource, leave: Leave) -> bool:
        try:
            standing = _RESULTS[found.kind].half_made(Path(found.name), self._workspace)
        except _UNREADABLE as exc:
            leave(LeftAlone(found.kind, found.name, f"cannot be inspected: {_reason(exc)}"))
            return False
        if standing is Standing.FOREIGN:
            leave(LeftAlone(found.kind, found.name, _NOT_OURS, foreign=True))
        return standing in (Standing.LEFT, Standing.BUSY)


def _looked_at(path: Path, exc: Exception) -> LeftAlone:
    if _is_link(path):
        return LeftAlone("folder", str(path), "not ours: a link, which is not followed", foreign=True)
    return LeftAlone("folder", str(path), f"cannot be inspected: {_reason(exc)}")


def _is_link(path: Path) -> bool:
    return os.path.islink(path)  # noqa: PTH114 - False also for a path that cannot be inspected


def _reason(exc: Exception) -> str:
    return (isinstance(exc, OSError) and exc.strerror) or str(exc)


def _unrecorded(kind: str, name: str) -> Resource:
    now = datetime.now(UTC)
    return Resource("local", kind, name, run="", state="created", since=now, dollars_per_hour=0.0, expires=None)
