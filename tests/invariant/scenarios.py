"""Scenarios out of bytes: whatever the bytes are they make one, and smaller bytes make a simpler one.

Hypothesis draws the bytes and shrinks them. Its own stateful machines take 2.9 ms for ten steps in which nothing
happens, and composed strategies 2.3 ms; bytes take 0.4 ms, and are read so that uploads come before deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from actions import Action, Bulk, Delete, Deliver, Fault, Faults, Rerun, Run, Scenario, Shape, Upload
from photos import CONTENTS, THRESHOLDS

T = TypeVar("T")

_SHAPES: Final[tuple[Shape, ...]] = ("notification", "rule", "etag", "bare")
_KINDS: Final = ("throttled", "lost", "before", "after", "meanwhile", "meanwhile")
_ACTIONS: Final = (None, *["deliver"] * 7, *["upload"] * 4, "delete", "run", "rerun", "bulk")


def scenario(drawn: bytes) -> Scenario:
    """The scenario that the bytes stand for."""
    return _Reader(drawn).scenario()


class _Reader:
    def __init__(self, drawn: bytes) -> None:
        self._left = iter(drawn)
        self._more = len(drawn)

    def scenario(self) -> Scenario:
        versioning = self._one(("never", "enabled", "suspended"))
        first = Upload(0, self._one(tuple(CONTENTS)), self._one(_SHAPES))
        actions: list[Action] = [first]
        while self._more:
            action = self._action(2)
            if action is not None:
                actions.append(action)
        return Scenario(versioning, tuple(actions))

    def _action(self, depth: int) -> Action | None:
        match self._one(_ACTIONS):
            case "upload":
                return Upload(self._number(2), self._one(tuple(CONTENTS)), self._one(_SHAPES))
            case "delete":
                return Delete(self._number(2), purge=self._number(2) == 1)
            case "deliver":
                arrived = tuple(self._number(8) for _ in range(1 + (self._number(4) == 3)))
                how = self._number(8)
                return Deliver(arrived, self._faults(depth), queued=how % 2 == 0, later=how >= 6)
            case "run":
                return Run(self._number(4), self._faults(depth))
            case "bulk":
                return Bulk(self._faults(depth))
            case "rerun":
                return Rerun(self._number(8), self._number(len(THRESHOLDS)), self._faults(depth))
        return None

    def _faults(self, depth: int) -> Faults:
        """None, one or two of them."""
        return tuple(self._fault(depth) for _ in range(self._one((0, 0, 0, 1, 1, 1, 1, 2)))) if depth else ()

    def _fault(self, depth: int) -> Fault:
        kind, call = self._one(_KINDS), self._number(10)
        if kind == "meanwhile":
            return Fault(call, kind, meanwhile=self._action(depth - 1))
        return Fault(call, kind, self._one((1, 1, 2, 9)) if kind == "throttled" else 1)

    def _number(self, below: int) -> int:
        self._more = max(0, self._more - 1)
        return next(self._left, 0) % below

    def _one(self, choices: Sequence[T]) -> T:
        return choices[self._number(len(choices))]
