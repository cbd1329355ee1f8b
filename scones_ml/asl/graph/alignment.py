"""Horizontal positions for a layered graph: long links straight, boxes centred over their successors.

U. Brandes and B. Köpf, "Fast and Simple Horizontal Coordinate Assignment", Graph Drawing 2001: four alignments, each
aligned to one side and one end; each node's position is the mean of the two middle ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from scones_ml.asl.graph.layers import Layered

__all__ = ["centres"]

_LITTLE: Final = 20.0
_MUCH: Final = 70.0

_Layers: TypeAlias = Sequence[Sequence[int]]
_Edges: TypeAlias = set[tuple[int, int]]


def centres(graph: Layered, gap: float) -> list[float]:
    """The horizontal centre of each node, with at least `gap` pixels between two of a layer; the left edge is at 0."""
    conflicts = _conflicts(graph)
    found: list[list[float]] = []
    for above, layers in ((True, graph.layers), (False, graph.layers[::-1])):
        kept = _preferred(graph, above=above)
        for mirrored in (False, True):
            ordered = [layer[::-1] for layer in layers] if mirrored else layers
            roots = _align(ordered, kept, conflicts)
            places = _compact(graph, ordered, roots, gap)
            found.append([-place for place in places] if mirrored else places)
    places = _balance(graph, found)
    _straighten(graph, places, gap)
    return places


def _preferred(graph: Layered, *, above: bool) -> _Layers:
    """Neighbours to align each node with; long links and main links take precedence."""
    leaving, arriving = {top for top, _ in graph.main}, {bottom for _, bottom in graph.main}
    points = {node for node in range(graph.real, len(graph.sizes)) if not graph.sizes[node].width}
    neighbours, beyond = (graph.upper, graph.lower) if above else (graph.lower, graph.upper)
    passed = {node for node in points if not points.isdisjoint(beyond[node])}

    def gives_way(node: int, other: int) -> bool:
        top, bottom = (other, node) if above else (node, other)
        beside = (top < graph.real and top in leaving) or (bottom < graph.real and bottom in arriving)
        return (beside and (top, bottom) not in graph.main) or (other in passed and node not in points)

    kept: list[Sequence[int]] = []
    for node, others in enumerate(neighbours):
        chosen = [other for other in others if not gives_way(node, other)]
        kept.append([other for other in chosen if other in points] or chosen if node in points else chosen)
    return kept


def _conflicts(graph: Layered) -> _Edges:
    """Edges that cross the inner part of a long link, which has to stay straight."""
    marked: _Edges = set()
    for above, below in zip(graph.layers[1:], graph.layers[2:], strict=False):
        place = {node: index for index, node in enumerate(above)}
        start = scanned = 0
        for index, node in enumerate(below):
            inner = next((up for up in graph.upper[node] if up >= graph.real), None) if node >= graph.real else None
            if inner is None and index < len(below) - 1:
                continue
            end = len(above) - 1 if inner is None else place[inner]
            for other in below[scanned : index + 1]:
                for up in graph.upper[other]:
                    if not start <= place[up] <= end and not (up >= graph.real and other >= graph.real):
                        marked.add((up, other))
            scanned, start = index + 1, end
    return marked


def _align(layers: _Layers, neighbours: _Layers, conflicts: _Edges) -> list[int]:
    """Blocks of vertically aligned nodes: the first node of each node's block."""
    count = len(neighbours)
    place = [0] * count
    for layer in layers:
        for index, node in enumerate(layer):
            place[node] = index
    roots, following = list(range(count)), list(range(count))
    for layer in layers:
        last = -1
        for node in layer:
            others = sorted(neighbours[node], key=place.__getitem__)
            if not others:
                continue
            for other in others[(len(others) - 1) // 2 : len(others) // 2 + 1]:
                free = following[other] == other and roots[node] == node
                if free and last < place[other] and not {(other, node), (node, other)} & conflicts:
                    following[other] = node
                    roots[node] = roots[other]
                    last = place[other]
    return roots


def _compact(graph: Layered, layers: _Layers, roots: Sequence[int], gap: float) -> list[float]:
    """The position of each node: its block as far to the left as the others allow, then back to the right."""
    after: dict[int, dict[int, float]] = {root: {} for root in roots}
    waiting = dict.fromkeys(after, 0)
    for layer in layers:
        for left, right in pairwise(layer):
            apart = (graph.sizes[left].width + graph.sizes[right].width) / 2 + gap
            found = after[roots[left]]
            if roots[right] not in found:
                waiting[roots[right]] += 1
            found[roots[right]] = max(apart, found.get(roots[right], 0))
    places = dict.fromkeys(after, 0.0)
    ready, order = [root for root in after if not waiting[root]], []
    while ready:
        block = ready.pop()
        order.append(block)
        for other, apart in after[block].items():
            places[other] = max(places[other], places[block] + apart)
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    for block in reversed(order):
        room = [places[other] - apart for other, apart in after[block].items()]
        if room:
            places[block] = max(places[block], min(room))
    return [places[root] for root in roots]


def _straighten(graph: Layered, places: list[float], gap: float) -> None:
    """Centre labels and boxes that are slightly offset below their predecessors, where there is room."""
    for layer in graph.layers:
        for index, node in enumerate(layer):
            if len(graph.upper[node]) != 1 or (node >= graph.real and not graph.sizes[node].width):
                continue
            above = graph.upper[node][0]
            spread = above < graph.real and (above, node) in graph.main  # as from a Choice, which is in the middle
            wish, half = places[above], graph.sizes[node].width / 2 + gap
            left = places[layer[index - 1]] + graph.sizes[layer[index - 1]].width / 2 + half if index else half - gap
            right = wish
            if index + 1 < len(layer):
                right = places[layer[index + 1]] - graph.sizes[layer[index + 1]].width / 2 - half
            if abs(wish - places[node]) <= (_LITTLE if spread else _MUCH) and left <= wish <= right:
                places[node] = wish


def _balance(graph: Layered, found: Sequence[list[float]]) -> list[float]:
    halves = [size.width / 2 for size in graph.sizes]
    edges = [
        (
            min(place - half for place, half in zip(places, halves, strict=True)),
            max(place + half for place, half in zip(places, halves, strict=True)),
        )
        for places in found
    ]
    narrowest = min(edges, key=lambda edge: edge[1] - edge[0])
    for number, (places, edge) in enumerate(zip(found, edges, strict=True)):
        side = number % 2  # the mirrored ones are pushed against the right
        shift = narrowest[side] - edge[side]
        places[:] = [place + shift for place in places]
    middle = [sum(sorted(four)[1:3]) / 2 for four in zip(*found, strict=True)]
    leftmost = min(place - half for place, half in zip(middle, halves, strict=True))
    return [place - leftmost for place in middle]
