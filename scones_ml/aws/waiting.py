"""Waiting for endpoints and jobs on AWS."""

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
    """Poll an endpoint or a job until its status is final.

    Args:
        aws: makes the calls.
        kind: ``"endpoint"`` or ``"transform job"``.
        name: name of the resource.
        interval: seconds between two polls.
        pause: sleeps for so many seconds.
        steps: called with each new status.
        on_interrupt: what to do after Ctrl-C, while the resource continues on AWS.
        longest: maximum seconds of one status.

    Returns:
        Its last description; None when it is gone.

    Raises:
        DeploymentError: Ctrl-C.
        TimeoutError: a status lasts too long; the message names it and the time.
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
        raise DeploymentError(f"{kind} {name} continues: {on_interrupt}") from None
