"""A layered layout: boxes in rows from top to bottom, links as curves that pass between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scones_ml.asl.graph.alignment import centres
from scones_ml.asl.graph.crossings import reorder
from scones_ml.asl.graph.layers import Layered, Link, Size, split

__all__ = ["Layout", "Stop", "arrange"]

_BETWEEN_BOXES: Final = 24.0
_BETWEEN_LAYERS: Final = 15.0
_STEEP: Final = 0.13  # of a link's way to the side is added to the room below it, so that curves are not flat
_MOST_ROOM: Final = 44.0
_RUN_IN: Final = 7.0  # straight, at an arrow


@dataclass(frozen=True, slots=True)
class Stop:
    """A vertical piece of a link: curves join the bottom of one stop with the top of the next.

    Attributes:
        node: equal for links that share the piece.
        x: horizontal position.
        start: where the link enters; an upward link enters at the bottom.
        end: where the link leaves.
    """

    node: int
    x: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Layout:
    """The positions of boxes, links and labels, in pixels from the top left.

    Attributes:
        width: total width.
        height: total height.
        centres: the centre of each box.
        routes: the stops of each link, from source to target.
        labels: the centre of each link's label.
    """

    width: float
    height: float
    centres: Sequence[tuple[float, float]]
    routes: Sequence[Sequence[Stop]]
    labels: Sequence[tuple[float, float] | None]


def arrange(sizes: Sequence[Size], links: Sequence[Link], first: int) -> Layout:
    """A layout of boxes without overlaps, `first` on top; the same input has the same layout."""
    graph = split(sizes, links, first)
    reorder(graph)
    xs = centres(graph, _BETWEEN_BOXES)
    tops, bottoms = _bands(graph, xs)
    level = {node: number for number, layer in enumerate(graph.layers) for node in layer}
    middles = [(tops[level[node]] + bottoms[level[node]]) / 2 for node in range(len(graph.sizes))]
    routes = [_route(graph, path, level, xs, (tops, bottoms, middles)) for path in graph.paths]
    labels: list[tuple[float, float] | None] = []
    for link, path in zip(links, graph.paths, strict=True):
        labels.append(None if link.label is None else (xs[path[1]], middles[path[1]]))
    width = max(x + size.width / 2 for x, size in zip(xs, graph.sizes, strict=True))
    placed = [(xs[box], middles[box]) for box in range(graph.real)]
    return Layout(width, bottoms[-1], placed, routes, labels)


def _bands(graph: Layered, xs: Sequence[float]) -> tuple[list[float], list[float]]:
    """The top and the bottom of each layer."""
    tops: list[float] = []
    bottoms: list[float] = []
    top = 0.0
    for layer in graph.layers:
        tops.append(top)
        bottoms.append(top + max(graph.sizes[node].height for node in layer))
        aside = max((abs(xs[node] - xs[other]) for node in layer for other in graph.lower[node]), default=0)
        top = bottoms[-1] + _BETWEEN_LAYERS + min(_MOST_ROOM, _STEEP * aside)
    return tops, bottoms


def _route(
    graph: Layered,
    path: Sequence[int],
    level: dict[int, int],
    xs: Sequence[float],
    bands: tuple[Sequence[float], Sequence[float], Sequence[float]],
) -> list[Stop]:
    tops, bottoms, middles = bands
    upwards = level[path[0]] > level[path[-1]]
    stops = []
    for number, node in enumerate(path):
        top, bottom, x = tops[level[node]], bottoms[level[node]], xs[node]
        half = graph.sizes[node].height / 2
        # A link that leads upwards keeps off the middle, where those that lead downwards arrive and leave.
        aside = min(graph.sizes[node].width / 4, 40) if upwards and node < graph.real else 0
        if number == 0:
            top, bottom = (top, middles[node] - half) if upwards else (middles[node] + half, bottom)
        elif number == len(path) - 1:
            top, bottom = (middles[node] + half, bottom + _RUN_IN) if upwards else (top - _RUN_IN, middles[node] - half)
        stops.append(Stop(node, x + aside, bottom, top) if upwards else Stop(node, x, top, bottom))
    return stops
