"""What happens in a scenario, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fake_s3 import Versioning

Shape = Literal["notification", "rule", "etag", "bare"]
"""How an event tells of an object: as S3 notifies, as EventBridge tells, or with no more than an input transformer
leaves: bucket and key, with or without the etag."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the n-th call of an execution, or of a delivery.

    Attributes:
        call: its number, from 0.
        kind: ``throttled`` for so many calls; ``lost``: done, but nobody hears of it; broken off ``before`` or
            ``after`` the call; nothing, but for what happens ``meanwhile``.
        times: how many calls are throttled.
        meanwhile: what happens just before the call.
    """

    call: int
    kind: Literal["throttled", "lost", "before", "after", "meanwhile"]
    times: int = 1
    meanwhile: Action | None = None


Faults = tuple[Fault, ...]


@dataclass(frozen=True)
class Upload:
    """An object is written, over what has its key; an event about it is on its way."""

    key: int
    content: str
    shape: Shape = "notification"


@dataclass(frozen=True)
class Delete:
    """An object is deleted; with `purge` its newest version for good."""

    key: int
    purge: bool = False


@dataclass(frozen=True)
class Deliver:
    """Some of the events arrive, not for the first time perhaps; what they start runs now, or `later`."""

    events: tuple[int, ...]
    faults: Faults = ()
    queued: bool = True
    later: bool = False


@dataclass(frozen=True)
class Run:
    """An execution that waits to run, or that broke off, goes on."""

    number: int
    faults: Faults = ()


@dataclass(frozen=True)
class Rerun:
    """Somebody runs an object version again, with one of `THRESHOLDS`."""

    event: int
    threshold: int
    faults: Faults = ()


@dataclass(frozen=True)
class Bulk:
    """All that is there is classified in batches, or what is left of it."""

    faults: Faults = ()


Action = Upload | Delete | Deliver | Run | Rerun | Bulk


@dataclass(frozen=True)
class Scenario:
    """What happens to one bucket, in order."""

    versioning: Versioning
    actions: tuple[Action, ...]
