"""Record of every resource: a journal, written to disk before and after each call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from scones_ml.errors import ConfigurationError
from scones_ml.formats import FORMAT, newer_format
from scones_ml.plans import journal
from scones_ml.plans.names import is_resource
from scones_ml.plans.workspace import check_workspace, mark_workspace

__all__ = ["Entry", "Ledger", "Resource", "State"]

State = Literal["creating", "created", "deleting", "deleted"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        time: time of the entry, with its time zone.
        run: id of the run that the change belongs to.
        state: the change that was about to happen or had happened.
        place: ``"local"`` or ``"aws:REGION"``.
        kind: what it is, ``"endpoint"``.
        name: its name or URI.
        dollars_per_hour: its price while it exists; None when unknown.
        expires: end of its time to live; None for never.
    """

    time: datetime
    run: str
    state: State
    place: str
    kind: str
    name: str
    dollars_per_hour: float | None = 0.0
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that may exist, according to the ledger.

    Attributes:
        place, kind, name: its identity.
        run: id of the run that created it or changed it last; a run that tries to delete it does not count.
        state: last recorded state; ``"creating"`` and ``"deleting"`` mean that the outcome is unknown.
        since: time of its first creation.
        dollars_per_hour: its price while it exists; None when unknown.
        expires: end of its time to live; None for never.
    """

    place: str
    kind: str
    name: str
    run: str
    state: State
    since: datetime
    dollars_per_hour: float | None
    expires: datetime | None

    def dollars_so_far(self, now: datetime) -> float | None:
        """Its cost since it was created; None when the price is unknown."""
        hours = max(0.0, (now - self.since).total_seconds() / 3600)
        return None if self.dollars_per_hour is None else hours * self.dollars_per_hour


_DEAREST = 1e6  # dollars an hour; the most expensive instance is far below
_FIELDS = frozenset(field.name for field in fields(Entry))


class Ledger:
    """The ledger of a workspace.

    Lines of a newer version are errors, not skipped: without them, nothing may be reported as removed, and nothing more
    may be created.

    Args:
        path: the file, in the workspace's folder; created with its folder on the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ready = False

    def append(self, entry: Entry) -> None:
        """Write one entry and wait until it is on disk; the first one of a new workspace also writes its marker.

        Raises:
            ConfigurationError: the workspace or a line has a newer format, the file cannot be read, or the entry's kind
                or name is invalid.
        """
        if not is_resource(entry.place, entry.kind, entry.name):
            raise ConfigurationError(f"{entry.kind} {entry.name!r} cannot be put on record: choose another name")
        if not self._ready:
            self._lines()  # refused before anything is created that could not be cleaned up
            mark_workspace(self.path.parent)
            self._ready = True
        times = {"time": entry.time.isoformat(), "expires": entry.expires and entry.expires.isoformat()}
        journal.append(self.path, {"format": FORMAT, **asdict(entry), **times})

    def entries(self) -> Iterator[Entry]:
        """Every whole entry, oldest first; none when there is no file.

        Raises:
            ConfigurationError: the file cannot be read, or the workspace or a line has a newer format.
        """
        yield from (entry for entry in self._lines() if entry is not None)

    def unreadable(self) -> int:
        """Number of unreadable lines, left by a killed command or a damaged file.

        Raises:
            ConfigurationError: the file cannot be read, or the workspace or a line has a newer format.
        """
        return sum(entry is None for entry in self._lines())

    def _lines(self) -> list[Entry | None]:
        check_workspace(self.path.parent)
        if self.path.is_symlink():
            raise ConfigurationError(f"{self.path} cannot be read: it is a link, not a regular file; remove the link")
        try:
            documents, _ = journal.read(self.path)
        except OSError as exc:
            raise ConfigurationError(f"{self.path} cannot be read: {exc.strerror}; choose another --workspace") from exc
        for document in documents:
            refusal = newer_format(str(self.path), document) if isinstance(document, dict) else None
            if refusal:
                raise ConfigurationError(refusal)
        return [_parse(document) for document in documents]

    def resources(self) -> tuple[Resource, ...]:
        """Resources that were created and are not known to be deleted, newest first."""
        return tuple(reversed([resource for resource, deleted in self.lifetimes() if deleted is None]))

    def lifetimes(self) -> Iterator[tuple[Resource, datetime | None]]:
        """Every resource ever created with its time of deletion, oldest first; then, with None, those that may still
        exist.
        """
        found: dict[tuple[str, str, str], Resource] = {}
        for entry in self.entries():
            identity = (entry.place, entry.kind, entry.name)
            before = found.get(identity)
            if entry.state == "deleting" and before:
                found[identity] = replace(before, state="deleting")
                continue
            found.pop(identity, None)
            if entry.state != "deleted":
                found[identity] = Resource(
                    *identity,
                    run=entry.run,
                    state=entry.state,
                    since=before.since if before else entry.time,
                    dollars_per_hour=entry.dollars_per_hour,
                    expires=entry.expires,
                )
            elif before:
                yield before, entry.time
        yield from ((resource, None) for resource in found.values())


def _parse(document: object) -> Entry | None:
    """Parse a line, without fields that this version does not know; None when it is unreadable."""
    if not isinstance(document, dict):
        return None
    try:
        times = {name: datetime.fromisoformat(document[name]) for name in ("time", "expires") if document[name]}
        entry = Entry(**{name: value for name, value in document.items() if name in _FIELDS} | times)
    except (ValueError, TypeError, KeyError):
        return None
    texts = (entry.run, entry.state, entry.place, entry.kind, entry.name)
    sound = all(isinstance(text, str) for text in texts) and all(time.tzinfo for time in times.values())
    rate = entry.dollars_per_hour
    if not sound or not (rate is None or (isinstance(rate, float | int) and 0 <= rate <= _DEAREST)):
        return None
    known = entry.state in get_args(State) and is_resource(entry.place, entry.kind, entry.name)
    return entry if known else None
