"""Waiting for what AWS does in its own time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scones_ml.aws.resources import MOVING, RUNNING, Resources, status_of
from scones_ml.errors import DeploymentError
from scones_ml.ports import Steps

__all__ = ["wait_until_stable"]


def wait_until_stable(
    aws: Resources,
    kind: str,
    name: str,
    *,
    interval: float,
    pause: Callable[[float], None],
    steps: Steps,
    on_interrupt: str,
    longest: Callable[[str], float] = lambda _: math.inf,
) -> Mapping[str, Any] | None:
    """Poll an endpoint or a job until its status is one that stays.

    Args:
        aws: makes the calls.
        kind: ``"endpoint"`` or ``"transform job"``.
        name: of the resource.
        interval: seconds between two polls.
        pause: waits so many seconds.
        steps: told each new status.
        on_interrupt: what to do after Ctrl-C, which leaves the resource to AWS.
        longest: for how many seconds a status may last.

    Returns:
        Its last description; None when it is gone.

    Raises:
        DeploymentError: Ctrl-C.
        TimeoutError: a status lasts too long; says which and for how long.
    """
    waited, shown = 0.0, ""
    try:
        while True:
            found = aws.find(kind, name)
            status = status_of(found)
            if status not in (*MOVING, *RUNNING):
                return found
            if status != shown:
                steps(f"{kind} {name}: {status}")
                waited, shown = 0.0, status
            if waited >= longest(status):
                raise TimeoutError(f"{status} for more than {waited / 60:.0f} minutes")
            pause(interval)
            waited += interval
    except KeyboardInterrupt:
        raise DeploymentError(f"{kind} {name} goes on without us: {on_interrupt}") from None
