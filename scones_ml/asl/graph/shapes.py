"""What a drawing consists of: cards for states, markers, routes and labels, all in pixels."""

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
        name: its whole name.
        state: of the definition.
        x: left edge, in pixels from that of its machine's drawing.
        y: top edge.
        width: of the card.
        height: of the card.
        title: its name, made to fit.
        note: the line below the title, made to fit.
        outcome: what became of it; None where it was not reached, or there is no execution.
        unknown: it belongs to an execution of its own that the history does not show.
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
    """A machine inside a card, and where in the card it begins."""

    x: float
    y: float
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Marker:
    """Where a machine starts or ends: a pill with a word for the whole machine, a dot for one inside."""

    word: MarkerWord
    x: float
    y: float
    width: float
    height: float
    inner: bool


@dataclass(frozen=True, slots=True)
class Label:
    """The words on a route, centred; `whole` has them uncut."""

    x: float
    y: float
    width: float
    height: float
    lines: Sequence[str]
    whole: str
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class Route:
    """A line from state to state, or its part up to where it joins another one.

    Attributes:
        stops: its vertical pieces; empty for a state that leads to itself.
        kind: `catch` for an error's way.
        taken: whether the execution went there; None without an execution.
        arrow: whether its end is at a state.
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
    """A machine, drawn; the coordinates are pixels from its top left."""

    width: float
    height: float
    cards: Sequence[Card]
    markers: Sequence[Marker]
    routes: Sequence[Route]
    labels: Sequence[Label]
