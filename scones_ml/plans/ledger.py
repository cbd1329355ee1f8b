"""The record of every resource that was made: a journal, on disk before and after each call."""

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
        time: when, with its time zone.
        run: the verb's call that it belongs to.
        state: what was about to happen or had happened.
        place: where, ``"local"`` or ``"aws:REGION"``.
        kind: what it is, ``"endpoint"``.
        name: its name or URI.
        dollars_per_hour: what it costs while it exists; None when no price is known.
        expires: when it has outlived its purpose; None for never.
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
    """What may exist, as the ledger knows it.

    Attributes:
        place, kind, name: its identity.
        run: that made it, or changed it last; a run that tries to delete it does not count.
        state: the last that is known of it; ``"creating"`` and ``"deleting"`` mean that nobody knows.
        since: when it was first made.
        dollars_per_hour: what it costs while it exists; None when no price is known.
        expires: when it has outlived its purpose; None for never.
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
        """What it has cost since it was made; None when no price is known."""
        hours = max(0.0, (now - self.since).total_seconds() / 3600)
        return None if self.dollars_per_hour is None else hours * self.dollars_per_hour


_DEAREST = 1e6  # dollars an hour; the dearest instance is far below
_FIELDS = frozenset(field.name for field in fields(Entry))


class Ledger:
    """The ledger of a workspace.

    What a newer version wrote is never passed over: who does not know all that was made must not say that nothing is
    left, nor make more.

    Args:
        path: of the file, in the workspace's folder; made with its folder when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ready = False

    def append(self, entry: Entry) -> None:
        """Write one line and wait until it is on disk; the first one of a new workspace marks it as ours.

        Raises:
            ConfigurationError: the workspace or a line is of a newer format, the file cannot be read, or the entry
                names what no reader would take for a resource.
        """
        if not is_resource(entry.place, entry.kind, entry.name):
            raise ConfigurationError(f"{entry.kind} {entry.name!r} cannot be put on record: choose another name")
        if not self._ready:
            self._lines()  # refused before anything is made that could not be cleaned up
            mark_workspace(self.path.parent)
            self._ready = True
        times = {"time": entry.time.isoformat(), "expires": entry.expires and entry.expires.isoformat()}
        journal.append(self.path, {"format": FORMAT, **asdict(entry), **times})

    def entries(self) -> Iterator[Entry]:
        """Every whole line, oldest first; nothing when there is no file.

        Raises:
            ConfigurationError: the file cannot be read, or the workspace or a line is of a newer format.
        """
        yield from (entry for entry in self._lines() if entry is not None)

    def unreadable(self) -> int:
        """How many lines say nothing, or name what is none: a command was killed, or the file was damaged.

        Raises:
            ConfigurationError: the file cannot be read, or the workspace or a line is of a newer format.
        """
        return sum(entry is None for entry in self._lines())

    def _lines(self) -> list[Entry | None]:
        check_workspace(self.path.parent)
        if self.path.is_symlink():
            raise ConfigurationError(f"{self.path} cannot be read: is no regular file but a link; remove the link")
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
        """What was made and is not known to be deleted, newest first."""
        return tuple(reversed([resource for resource, deleted in self.lifetimes() if deleted is None]))

    def lifetimes(self) -> Iterator[tuple[Resource, datetime | None]]:
        """Everything that was ever made, and when it was deleted; None for what may still exist, oldest first, last."""
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
    """A line, but for fields that this version does not know; None when it says nothing."""
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
