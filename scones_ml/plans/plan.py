"""The changes of a command, as frozen data that is printed, recorded and executed.

>>> change = Change("create", "endpoint", "scones", "answers requests", "sagemaker:CreateEndpoint", 0.115)
>>> plan = Plan("deploy", "aws:us-east-1", (change,))
>>> execute(plan, print, Ledger(Path(".scones/ledger.jsonl")), Run.new())
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

from scones_ml.plans.ledger import Entry, Ledger, State
from scones_ml.wording import counted

__all__ = ["Action", "Change", "Plan", "Run", "execute", "recorded"]

Action = Literal["create", "update", "delete", "stop"]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Change:
    """One resource to create, update or remove.

    Attributes:
        action: what happens to it.
        kind: what it is, ``"endpoint"``; with ``name`` its identity within a place.
        name: its name or URI.
        why: its purpose, in a few words.
        permission: the required IAM action, ``"sagemaker:CreateEndpoint"``; empty on this machine.
        dollars_per_hour: its list price while it exists; None when unknown.
        request: parameters of the API call; empty on this machine.
        content: bytes to upload; empty for none.
    """

    action: Action
    kind: str
    name: str
    why: str
    permission: str = ""
    dollars_per_hour: float | None = 0.0
    request: Mapping[str, object] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes of one command, in order.

    Attributes:
        verb: ``"deploy"``.
        place: ``"local"`` or ``"aws:REGION"``.
        changes: in order.
        unseen: why existing resources could not be inspected, so that the plan assumes that none exist or, for a
            clean-up, covers only those that could be; empty when the plan is complete.
    """

    verb: str
    place: str
    changes: tuple[Change, ...]
    unseen: str = ""

    def __str__(self) -> str:
        from scones_ml.displays import aligned

        columns, rows, numbers = self._table()
        return "\n".join([self._title(), *self._note(), *([aligned([columns, *rows], numbers)] if rows else [])])

    def _repr_html_(self) -> str:
        from scones_ml.displays import escaped, fragment, table

        columns, rows, numbers = self._table()
        note = (f'<p class="note">{escaped(line)}</p>' for line in self._note())
        shown = table(columns, rows, numbers) if rows else ""
        return fragment(f'<p class="title">{escaped(self._title())}</p>', *note, shown)

    def _note(self) -> list[str]:
        return [f"existing resources could not be inspected: {self.unseen}"] if self.unseen else []

    def _title(self) -> str:
        if not self.changes:
            return f"{self.verb} on {self.place}: nothing to do"
        return f"{self.verb} on {self.place}: {counted(len(self.changes), 'change')}"

    def _table(self) -> tuple[list[str], list[list[str]], list[int]]:
        """Columns, rows and the numeric columns; on this machine without prices and permissions."""
        from scones_ml.displays import dollars

        if self.place == "local":
            rows = [[one.action, one.kind, one.name, one.why] for one in self.changes]
            return ["change", "what", "name", "why"], rows, []
        priced = [
            [one.action, one.kind, one.name, dollars(one.dollars_per_hour), one.permission, one.why]
            for one in self.changes
        ]
        return ["change", "what", "name", "an hour", "permission", "why"], priced, [3]

    @property
    def dollars_per_hour(self) -> float | None:
        """Total price of the resources that it creates or updates; None when a price is unknown."""
        total = 0.0
        for change in self.changes:
            if change.action in ("create", "update"):
                if change.dollars_per_hour is None:
                    return None
                total += change.dollars_per_hour
        return total


@dataclass(frozen=True, slots=True)
class Run:
    """One call of one command.

    Attributes:
        id: unique, sortable by time.
        expires: end of the time to live of its resources; None for never.
    """

    id: str
    expires: datetime | None = None

    @classmethod
    def new(cls, ttl: timedelta | None = None) -> Run:
        """Start a new run.

        Args:
            ttl: time to live of its resources; None for no limit.
        """
        now = datetime.now(UTC)
        return cls(f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}", None if ttl is None else now + ttl)


def execute(plan: Plan, perform: Callable[[Change], Made], ledger: Ledger, run: Run) -> tuple[Made, ...]:
    """Make every change of a plan, recording each before and after.

    If the process dies in between, the record names everything that may exist.

    Args:
        plan: the plan.
        perform: makes one change, or raises.
        ledger: record of the changes.
        run: the run that the changes belong to.

    Returns:
        The result of ``perform`` for each change, in order.
    """
    made = []
    for change in plan.changes:
        with recorded(change, plan.place, ledger, run):
            made.append(perform(change))
    return tuple(made)


@contextmanager
def recorded(change: Change, place: str, ledger: Ledger, run: Run) -> Iterator[None]:
    """Record a change before the block that makes it, and again when the block has ended well.

    A removal continues when the disk is too full for the first line, since it makes room.

    Args:
        change: the change that the block makes.
        place: ``"local"`` or ``"aws:REGION"``.
        ledger: record of the changes.
        run: the run that the change belongs to.
    """
    removes = change.action in ("delete", "stop")

    def note(state: State) -> None:
        ledger.append(
            Entry(
                time=datetime.now(UTC),
                run=run.id,
                state=state,
                place=place,
                kind=change.kind,
                name=change.name,
                dollars_per_hour=change.dollars_per_hour,
                expires=run.expires,
            )
        )

    try:
        note("deleting" if removes else "creating")
    except OSError as exc:
        if not (removes and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)):
            raise
    # No finally: what has failed halfway may exist, so it stays on record as begun.
    yield
    note("deleted" if removes else "created")
