"""The elements of a drawing: cards for states, markers, routes and labels, all in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scones_ml.asl.graph.layered import Stop
from scones_ml.asl.graph.outcomes import Outcome
from scones_ml.asl.states import State

__all__ = ["Card", "Drawing", "EdgeKind", "Inside", "Label", "Marker", "MarkerWord", "Route"]

EdgeKind: TypeAlias = Literal["plain", "catch"]
MarkerWord: TypeAlias = Literal["Start", "End"]


@dataclass(frozen=True, slots=True)
class Card:
    """A state.

    Attributes:
        name: its full name.
        state: its definition.
        x: left edge, in pixels from that of its machine's drawing.
        y: top edge.
        width: of the card.
        height: of the card.
        title: its name, shortened to fit.
        note: the line below the title, shortened to fit.
        outcome: its outcome; None if it was not reached, or there is no execution.
        unknown: whether it belongs to a child execution, which the history does not show.
        inside: the machines that it runs.
    """

    name: str
    state: State
    x: float
    y: float
    width: float
    height: float
    title: str
    note: str
    outcome: Outcome | None
    unknown: bool
    inside: Sequence[Inside] = ()


@dataclass(frozen=True, slots=True)
class Inside:
    """A machine inside a card, and its position in the card."""

    x: float
    y: float
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Marker:
    """The start or the end of a machine: a pill with a word for the whole machine, a dot for an inner one."""

    word: MarkerWord
    x: float
    y: float
    width: float
    height: float
    inner: bool


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a route, centred; `whole` is the uncut text."""

    x: float
    y: float
    width: float
    height: float
    lines: Sequence[str]
    whole: str
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class Route:
    """A line from state to state, or the part of it up to where it joins another line.

    Attributes:
        stops: its vertical pieces; empty for a state that leads to itself.
        kind: kind of the transition, `catch` for an error's.
        taken: whether the execution took it; None without an execution.
        arrow: whether it ends at a state.
        loop: right edge and vertical centre of a state that leads to itself.
        upwards: whether it leads back.
    """

    stops: Sequence[Stop]
    kind: EdgeKind
    taken: bool | None
    arrow: bool
    loop: tuple[float, float] | None = None
    upwards: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """The drawing of a machine; coordinates are in pixels from its top left."""

    width: float
    height: float
    cards: Sequence[Card]
    markers: Sequence[Marker]
    routes: Sequence[Route]
    labels: Sequence[Label]
