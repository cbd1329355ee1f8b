"""Boxes assigned to layers, so that every link leads downwards, and long links split into one piece per layer."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeAlias

__all__ = ["Layered", "Link", "Size", "split"]


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Link:
    """A directed link between two boxes, by their index.

    Attributes:
        source: where it leaves; never the target itself.
        target: where it arrives.
        bundle: links with the same target and bundle are drawn as one where they are long.
        label: the size of its label.
        main: whether it takes precedence in being drawn straight.
    """

    source: int
    target: int
    bundle: Hashable = None
    label: Size | None = None
    main: bool = True


@dataclass(slots=True)
class Layered:
    """A graph whose edges join neighbouring layers only.

    Its first nodes are the boxes, by their index; the others are the points at which links pass a layer.

    Attributes:
        real: how many nodes are boxes.
        sizes: of each node; points have no size, unless a label sits there.
        layers: the nodes of each layer, from left to right. Boxes are in even layers, labels in odd ones.
        upper: of each node, its neighbours in the layer above.
        lower: of each node, its neighbours in the layer below.
        paths: of each link, the nodes from its source to its target.
        main: the edges that are part of a main link, from the upper node to the lower.
    """

    real: int
    sizes: list[Size]
    layers: list[list[int]] = field(default_factory=list)
    upper: list[list[int]] = field(default_factory=list)
    lower: list[list[int]] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    main: set[tuple[int, int]] = field(default_factory=set)


_NOTHING: Final = Size(0, 0)
_Point: TypeAlias = tuple[int, Hashable, bool, int]
"""What links share a point by: target, bundle, whether they lead back, layer."""


def split(sizes: Sequence[Size], links: Sequence[Link], first: int) -> Layered:
    """The layers of a graph: each box below every box that leads to it, but for the links that close a cycle.

    Args:
        sizes: of the boxes.
        links: between them.
        first: the box that cycles are looked for from, the topmost one.
    """
    backward = _closing(len(sizes), links, first)
    ends = [
        (link.target, link.source) if index in backward else (link.source, link.target)
        for index, link in enumerate(links)
    ]
    ranks = _ranks(len(sizes), ends)
    graph = Layered(len(sizes), list(sizes))
    levels = list(ranks)
    points: dict[_Point, int] = {}
    edges: dict[tuple[int, int], None] = {}
    for index, (link, (top, bottom)) in enumerate(zip(links, ends, strict=True)):
        back = index in backward
        labelled = ranks[bottom] - 1 if back else ranks[top] + 1
        path = [top]
        for level in range(ranks[top] + 1, ranks[bottom]):
            if link.label is not None and level == labelled:
                path.append(_add(graph, levels, level, link.label))
                continue
            key = (link.target, link.bundle, back, level)
            if key not in points:
                points[key] = _add(graph, levels, level, _NOTHING)
            path.append(points[key])
        path.append(bottom)
        edges.update(dict.fromkeys(pairwise(path)))
        if link.main and not back:
            graph.main.update(pairwise(path))
        graph.paths.append(path[::-1] if back else path)
    _connect(graph, edges, levels, first)
    return graph


def _add(graph: Layered, levels: list[int], level: int, size: Size) -> int:
    graph.sizes.append(size)
    levels.append(level)
    return len(levels) - 1


def _connect(graph: Layered, edges: Iterable[tuple[int, int]], levels: Sequence[int], first: int) -> None:
    graph.upper, graph.lower = [[] for _ in levels], [[] for _ in levels]
    for above, below in edges:
        graph.lower[above].append(below)
        graph.upper[below].append(above)
    graph.layers = [[] for _ in range(max(levels) + 1)]
    for node in _depth_first(graph.lower, [first, *range(len(levels))]):
        graph.layers[levels[node]].append(node)


def _closing(count: int, links: Sequence[Link], first: int) -> set[int]:
    """The links that lead back to a box on the way to them."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    for index, link in enumerate(links):
        leaving[link.source].append(index)
    closing: set[int] = set()
    done: set[int] = set()
    for root in (first, *range(count)):
        if root in done:
            continue
        path, stack = {root}, [(root, iter(leaving[root]))]
        while stack:
            box, rest = stack[-1]
            way = next(rest, None)
            if way is None:
                stack.pop()
                path.discard(box)
                done.add(box)
                continue
            target = links[way].target
            if target in path:
                closing.add(way)
            elif target not in done:
                path.add(target)
                stack.append((target, iter(leaving[target])))
    return closing


def _ranks(count: int, ends: Sequence[tuple[int, int]]) -> list[int]:
    """The even layer of each box: two below the lowest box that leads to it."""
    ranks, waiting = [0] * count, [0] * count
    below: list[list[int]] = [[] for _ in range(count)]
    for top, bottom in ends:
        below[top].append(bottom)
        waiting[bottom] += 1
    ready = [box for box in range(count) if not waiting[box]]
    while ready:
        box = ready.pop()
        for bottom in below[box]:
            ranks[bottom] = max(ranks[bottom], ranks[box] + 2)
            waiting[bottom] -= 1
            if not waiting[bottom]:
                ready.append(bottom)
    return ranks


def _depth_first(lower: Sequence[Sequence[int]], roots: Sequence[int]) -> Iterator[int]:
    seen: set[int] = set()
    for root in roots:
        stack = [root]
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            yield node
            stack.extend(reversed(lower[node]))
