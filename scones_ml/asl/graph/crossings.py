"""The order of each layer, with few crossings: barycentre sweeps, then swaps of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from scones_ml.asl.graph.layers import Layered

__all__ = ["crossings", "reorder"]

_LARGE: Final = 3_000  # nodes past which fewer sweeps are made, for time
_SMALL: Final = 600  # nodes up to which neighbours are swapped, too


def reorder(graph: Layered) -> None:
    """Reorder the layers of `graph`, starting from the order that they have."""
    nodes = len(graph.sizes)
    best, fewest = [list(layer) for layer in graph.layers], crossings(graph)
    for sweep in range(4 if nodes > _LARGE else 16):
        if not fewest:
            break
        _sweep(graph, downwards=sweep % 2 == 0)
        if nodes <= _SMALL:
            _swap(graph)
        found = crossings(graph)
        if found < fewest:
            best, fewest = [list(layer) for layer in graph.layers], found
    graph.layers = best


def crossings(graph: Layered) -> int:
    """The number of pairs of edges that cross."""
    return sum(_between(above, below, graph.lower) for above, below in pairwise(graph.layers))


def _between(above: Sequence[int], below: Sequence[int], lower: Sequence[Sequence[int]]) -> int:
    """The crossings between two layers: pairs of edges in the wrong order, counted with a Fenwick tree."""
    place = {node: index for index, node in enumerate(below)}
    tree = [0] * (len(below) + 1)
    count = total = 0
    for node in above:
        ends = sorted(place[other] for other in lower[node])
        for end in ends:
            index, before = end + 1, 0
            while index:
                before += tree[index]
                index &= index - 1
            count += total - before
        for end in ends:
            total += 1
            index = end + 1
            while index <= len(below):
                tree[index] += 1
                index += index & -index
    return count


def _sweep(graph: Layered, *, downwards: bool) -> None:
    layers = graph.layers if downwards else graph.layers[::-1]
    neighbours = graph.upper if downwards else graph.lower
    for before, layer in pairwise(layers):
        place = {node: index for index, node in enumerate(before)}
        # A node without neighbours keeps its place among the others.
        wish = {}
        for index, node in enumerate(layer):
            found = [place[other] for other in neighbours[node]]
            wish[node] = sum(found) / len(found) if found else index * len(before) / len(layer)
        layer.sort(key=wish.__getitem__)


def _swap(graph: Layered) -> None:
    """Swap neighbours while that removes crossings."""
    for _ in range(4):
        better = False
        for number, layer in enumerate(graph.layers):
            above = _places(graph.layers[number - 1] if number else [])
            below = _places(graph.layers[number + 1] if number + 1 < len(graph.layers) else [])
            ends = {
                node: ([above[n] for n in graph.upper[node]], [below[n] for n in graph.lower[node]]) for node in layer
            }
            for index in range(len(layer) - 1):
                left, right = ends[layer[index]], ends[layer[index + 1]]
                now = sum(_inverted(a, b) for a, b in zip(left, right, strict=True))
                then = sum(_inverted(b, a) for a, b in zip(left, right, strict=True))
                if then < now:
                    layer[index], layer[index + 1] = layer[index + 1], layer[index]
                    better = True
        if not better:
            return


def _places(layer: Sequence[int]) -> dict[int, int]:
    return {node: index for index, node in enumerate(layer)}


def _inverted(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(1 for a in left for b in right if a > b)
