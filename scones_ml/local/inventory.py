"""What verbs have made on this machine: endpoints, objects, and what a killed one left half-made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scones_ml import dataset
from scones_ml.events import parse_uri
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.local.in_use import forget_killed_run, removing_objects
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.trainer import forget_training, half_trained
from scones_ml.plans import Change, Ledger, Resource
from scones_ml.ports import Leave, leave_unsaid

__all__ = ["LocalInventory"]


@dataclass(frozen=True, slots=True)
class _Result:
    """What users asked for by name and keep: only what is half-made of it is ours to remove.

    Attributes:
        half_made: what there is of that.
        tidy: removes it.
    """

    half_made: Callable[[Path], Sequence[Path]]
    tidy: Callable[[Path], None]


def _half_data_set(folder: Path) -> Sequence[Path]:
    return dataset.remnants(folder)


def _tidy_data_set(folder: Path) -> None:
    dataset.recover(folder)


def _half_report(report: Path) -> list[Path]:
    return [half for half in [report.with_suffix(".part")] if half.exists()]


def _tidy_report(report: Path) -> None:
    report.with_suffix(".part").unlink(missing_ok=True)


_RESULTS = {
    "data set": _Result(_half_data_set, _tidy_data_set),
    "model": _Result(half_trained, forget_training),
    "report": _Result(_half_report, _tidy_report),
}


class LocalInventory:
    """What is really there, recorded or not, and what the ledger says is unfinished; results are kept.

    Args:
        store: holds the objects.
        deployer: runs the endpoints.
        ledger: of the workspace.
    """

    def __init__(self, store: DirectoryObjectStore, deployer: LocalDeployer, ledger: Ledger) -> None:
        self._store, self._deployer, self._ledger = store, deployer, ledger

    def resources(
        self,
        everything: bool = False,  # noqa: ARG002 - a workspace is all there is
        leave: Leave = leave_unsaid,  # noqa: ARG002
    ) -> Sequence[Resource]:
        """See :meth:`scones_ml.ports.Inventory.resources`."""
        forget_killed_run(self._ledger.path.parent)
        there = {(found.kind, found.name): found for found in self._there()}
        recorded = [
            found
            for found in self._ledger.resources()
            if found.place == "local" and ((found.kind, found.name) in there or _is_unfinished(found))
        ]
        known = {(found.kind, found.name) for found in recorded}
        return [*(found for identity, found in there.items() if identity not in known), *recorded]

    def plan_removal(self, resource: Resource) -> Change:
        """See :meth:`scones_ml.ports.Inventory.plan_removal`."""
        why = f"of run {resource.run}" if resource.run else "found, though not on record"
        if resource.kind in _RESULTS:
            why = f"what run {resource.run} left unfinished"
        return Change("delete", resource.kind, resource.name, why)

    def is_there(self, change: Change) -> bool:
        """See :meth:`scones_ml.ports.Inventory.is_there`."""
        return (change.kind, change.name) in {(found.kind, found.name) for found in self.resources()}

    def remove(self, change: Change) -> None:
        """See :meth:`scones_ml.ports.Inventory.remove`."""
        if change.kind == "endpoint":
            self._deployer.remove(change.name)
        elif change.kind == "objects":
            with removing_objects(self._ledger.path.parent):
                self._store.delete_bucket(parse_uri(change.name)[0])
        elif change.kind in _RESULTS:
            _RESULTS[change.kind].tidy(Path(change.name))

    def _there(self) -> Iterator[Resource]:
        for name in self._deployer.recorded():
            yield _unrecorded("endpoint", name)
        for bucket in self._store.buckets():
            yield _unrecorded("objects", f"s3://{bucket}/")


def _is_unfinished(found: Resource) -> bool:
    """Whether something may be left of what was begun; of a result, whether something is."""
    if found.kind in _RESULTS:
        return bool(_RESULTS[found.kind].half_made(Path(found.name)))
    return found.state != "created"


def _unrecorded(kind: str, name: str) -> Resource:
    now = datetime.now(UTC)
    return Resource("local", kind, name, run="", state="created", since=now, dollars_per_hour=0.0, expires=None)
