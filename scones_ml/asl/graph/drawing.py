"""The drawing of a machine: cards and markers, and transitions as routes with labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from scones_ml.asl.graph.cards import card
from scones_ml.asl.graph.layered import Layout, Stop, arrange
from scones_ml.asl.graph.layers import Link, Size
from scones_ml.asl.graph.measure import text_width, wrap
from scones_ml.asl.graph.outcomes import Progress
from scones_ml.asl.graph.shapes import Card, Drawing, EdgeKind, Label, Marker, MarkerWord, Route
from scones_ml.asl.graph.transitions import inner_machines, is_distributed, transitions
from scones_ml.asl.parts import Branch
from scones_ml.asl.states import State
from scones_ml.printable import printable

__all__ = ["LABEL_SIZE", "LINE_HEIGHT", "draw"]

LABEL_SIZE: Final = 11.0
LINE_HEIGHT: Final = 14.0
_LONGEST_LABEL: Final = 210.0
_LABEL_LINES: Final = 4
_LOOP_LINES: Final = 3  # beside a card, which is not higher
_LOOP: Final = 34.0
_PILL: Final = Size(64, 28)
_DOT: Final = Size(12, 12)


@dataclass(slots=True)
class _Way:
    """All transitions of one kind from one state to another; None is the start or the end."""

    source: str | None
    target: str | None
    kind: EdgeKind
    words: list[str] = field(default_factory=list)
    lines: Sequence[str] = ()

    @property
    def size(self) -> Size | None:
        if not self.lines:
            return None
        return Size(max(text_width(line, LABEL_SIZE) for line in self.lines) + 12, len(self.lines) * LINE_HEIGHT + 4)


def draw(branch: Branch, found: Progress | None = None, *, inner: bool = False, unknown: bool = False) -> Drawing:
    """The drawing of a machine, with the machines inside its states.

    Args:
        branch: the machine.
        found: the outcomes of its states.
        inner: whether it is inside a state, where start and end are only marked if they would not be plain.
        unknown: whether the history does not show what happened in it.
    """
    cards = [_card(name, state, found, unknown=unknown) for name, state in branch.states.items()]
    ways = list(_ways(branch))
    words = _marked(branch, ways, inner=inner)
    ways = [way for way in ways if (way.source or "Start" in words) and (way.target or "End" in words)]
    loops = {way.source: way for way in ways if way.source == way.target}
    ways = [way for way in ways if way.source != way.target]
    sizes = [Size(card.width + 2 * _aside(loops.get(card.name)), card.height) for card in cards]
    sizes += [_DOT if inner else _PILL for _ in words]
    links, first = _links(branch, ways, words)
    layout = arrange(sizes, links, first)
    places = list(layout.centres)
    cards = [
        replace(card, x=x - card.width / 2, y=y - card.height / 2) for card, (x, y) in zip(cards, places, strict=False)
    ]
    markers = [_marker(word, place, inner=inner) for word, place in zip(words, places[len(cards) :], strict=True)]
    shown = None if unknown else found
    looping = [(loops[card.name], card) for card in cards if card.name in loops]
    routes = [*_routes(ways, layout, len(sizes), shown), *(_loop(way, card, shown) for way, card in looping)]
    labels = [*_labels(ways, layout), *(_loop_label(way, card) for way, card in looping if way.lines)]
    return Drawing(layout.width, layout.height, cards, markers, routes, labels)


def _links(branch: Branch, ways: Sequence[_Way], words: Sequence[MarkerWord]) -> tuple[list[Link], int]:
    """The links between the boxes (first states, then markers), and the topmost box."""
    states = {name: index for index, name in enumerate(branch.states)}
    markers = {word: len(states) + index for index, word in enumerate(words)}
    links = [
        Link(
            markers["Start"] if way.source is None else states[way.source],
            markers["End"] if way.target is None else states[way.target],
            way.kind,
            way.size,
            way.kind == "plain",
        )
        for way in ways
    ]
    return links, markers.get("Start", states.get(branch.start_at, 0))


def _card(name: str, state: State, found: Progress | None, *, unknown: bool) -> Card:
    outcome = found.states.get(name) if found else None
    elsewhere = unknown or (is_distributed(state) and outcome is not None)
    inside = [draw(machine, found, inner=True, unknown=elsewhere) for machine in inner_machines(state)]
    return card(name, state, outcome, inside, unknown=unknown)


def _ways(branch: Branch) -> Iterator[_Way]:
    """The transitions of a machine, with those between the same two states merged and labels shortened."""
    ways: dict[tuple[str | None, str | None, EdgeKind], _Way] = {}
    if branch.start_at in branch.states:
        ways[None, branch.start_at, "plain"] = _Way(None, branch.start_at, "plain")
    for name, state in branch.states.items():
        for step in transitions(state):
            if step.target is not None and step.target not in branch.states:
                continue
            kind: EdgeKind = "catch" if step.kind == "catch" else "plain"
            way = ways.setdefault((name, step.target, kind), _Way(name, step.target, kind))
            if step.label:
                way.words.append(printable(step.label))
    for way in ways.values():
        way.lines = _lines(way.words, _LOOP_LINES if way.source == way.target else _LABEL_LINES)
    yield from ways.values()


def _lines(words: Sequence[str], most: int) -> Sequence[str]:
    if len(words) <= 1:
        return [line for text in words for line in wrap(text, _LONGEST_LABEL, LABEL_SIZE, most)]
    kept = words if len(words) <= most else words[: most - 1]
    lines = [line for text in kept for line in wrap(text, _LONGEST_LABEL, LABEL_SIZE, 1)]
    return lines if len(kept) == len(words) else [*lines, f"\u2026 {len(words) - len(kept)} more"]


def _marked(branch: Branch, ways: Sequence[_Way], *, inner: bool) -> Sequence[MarkerWord]:
    """Whether the start and the end have a marker."""
    again = any(way.target == branch.start_at and way.source is not None for way in ways)
    ending = {way.source for way in ways if way.target is None}
    going_on = {way.source for way in ways if way.target is not None}
    words: list[MarkerWord] = ["Start"] if again or not inner else []
    return [*words, "End"] if ending and (not inner or ending & going_on) else words


def _marker(word: MarkerWord, centre: tuple[float, float], *, inner: bool) -> Marker:
    size = _DOT if inner else _PILL
    return Marker(word, centre[0] - size.width / 2, centre[1] - size.height / 2, size.width, size.height, inner)


def _taken(way: _Way, found: Progress | None) -> bool | None:
    return None if found is None else (way.source, way.target, way.kind == "catch") in found.taken


def _routes(ways: Sequence[_Way], layout: Layout, boxes: int, found: Progress | None) -> Iterator[Route]:
    """The routes; where several arrive together, each piece is drawn once: taken ones first, then long ones."""
    drawn: set[int] = set()

    def urgency(index: int) -> tuple[bool, int]:
        return not _taken(ways[index], found), -len(layout.routes[index])

    for index in sorted(range(len(ways)), key=urgency):
        way, stops = ways[index], list(layout.routes[index])
        joint = next((place for place, stop in enumerate(stops) if stop.node in drawn), None)
        if joint is not None:
            stops = [*stops[:joint], replace(stops[joint], end=stops[joint].start)]
        drawn.update(stop.node for stop in stops if stop.node >= boxes)
        yield Route(stops, way.kind, _taken(way, found), joint is None, upwards=_leads_up(stops))


def _leads_up(stops: Sequence[Stop]) -> bool:
    return stops[-1].start < stops[0].end


def _labels(ways: Sequence[_Way], layout: Layout) -> Iterator[Label]:
    for way, centre in zip(ways, layout.labels, strict=True):
        if centre is not None and way.size is not None:
            yield Label(*centre, way.size.width, way.size.height, way.lines, "\n".join(way.words), way.kind)


def _aside(way: _Way | None) -> float:
    """The room that a state needs on either side for the line that leads from it to itself."""
    return 0 if way is None else _LOOP + (way.size.width if way.size else 0)


def _loop(way: _Way, card: Card, found: Progress | None) -> Route:
    return Route((), way.kind, _taken(way, found), True, (card.x + card.width, card.y + card.height / 2))


def _loop_label(way: _Way, card: Card) -> Label:
    size = way.size or Size(0, 0)
    x = card.x + card.width + _LOOP + size.width / 2
    return Label(x, card.y + card.height / 2, size.width, size.height, way.lines, "\n".join(way.words), way.kind)
