"""Mermaid flowcharts as SVG: git hosts draw the fences of our pages by script, the site without.

It reads what `scones_ml.infrastructure` writes: one node or one link a line. The layout is that of state machines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from scones_ml.asl.graph.layered import Stop, arrange
from scones_ml.asl.graph.layers import Link, Size
from scones_ml.asl.graph.measure import text_width

__all__ = ["Flowchart", "flowchart"]

_NODE: Final = re.compile(r'(\w+)([\[({/]+)"(.+?)"[\])}/]+')
_LINK: Final = re.compile(r"(\w+) (?:--|-\.)(?: (.+?) (?:--|\.-)|-|\.?-)?> (\w+)")
_TEXT: Final = 12
_SMALL: Final = 10.5
_HEIGHT: Final = 32
_MARGIN: Final = 10


class Flowchart(SphinxDirective):
    """A fence ``mermaid`` that holds a flowchart."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """An image within the page, which follows its light or dark."""
        return [nodes.raw("", f'<div class="flowchart">{flowchart(self.content)}</div>', format="html")]


def flowchart(lines: Sequence[str]) -> str:
    """The SVG of a flowchart."""
    statements = [line.strip() for line in lines if line.strip()][1:]
    found = {match[1]: match for line in statements if (match := _NODE.fullmatch(line))}
    links = [match for line in statements if (match := _LINK.fullmatch(line))]
    if len(found) + len(links) != len(statements):
        raise ValueError("a line is neither a node nor a link")
    index = {name: number for number, name in enumerate(found)}
    sizes = [Size(text_width(match[3], _TEXT) + 24, _HEIGHT) for match in found.values()]
    layout = arrange(
        sizes,
        [
            Link(index[link[1]], index[link[3]], label=Size(text_width(link[2], _SMALL) + 8, 16) if link[2] else None)
            for link in links
        ],
        0,
    )
    width, height = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:.0f} {height:.0f}">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<g transform="translate({_MARGIN} {_MARGIN})">',
    ]
    for link, route in zip(links, layout.routes, strict=True):
        dotted = ' class="dotted"' if "-." in link[0] else ""
        parts.append(f'<path{dotted} d="{_curve(route)}" marker-end="url(#arrow)"/>')
    for link, place in zip(links, layout.labels, strict=True):
        if place:
            half = text_width(link[2], _SMALL) / 2 + 3
            corner = f'x="{place[0] - half:.1f}" y="{place[1] - 8:.1f}"'
            parts.append(f'<rect class="behind" {corner} width="{2 * half:.1f}" height="16"/>')
            parts.append(_label(link[2], place, _SMALL))
    for match, size, (x, y) in zip(found.values(), sizes, layout.centres, strict=True):
        rounded = 16 if "(" in match[2] else 4
        corner = f'x="{x - size.width / 2:.1f}" y="{y - size.height / 2:.1f}"'
        parts.append(f'<rect class="box" {corner} width="{size.width:.1f}" height="{size.height}" rx="{rounded}"/>')
        parts.append(_label(match[3], (x, y), _TEXT))
    return "\n".join([*parts, "</g></svg>"])


def _curve(route: Sequence[Stop]) -> str:
    """Straight along each stop, and bent from one to the next."""
    return " ".join(_pieces(route))


def _pieces(route: Sequence[Stop]) -> Iterator[str]:
    yield f"M{route[0].x:.1f} {route[0].start:.1f}V{route[0].end:.1f}"
    for above, below in pairwise(route):
        middle = (above.end + below.start) / 2
        yield f"C{above.x:.1f} {middle:.1f} {below.x:.1f} {middle:.1f} {below.x:.1f} {below.start:.1f}V{below.end:.1f}"


def _label(text: str, place: tuple[float, float], size: float) -> str:
    centre = f'x="{place[0]:.1f}" y="{place[1]:.1f}" text-anchor="middle" dominant-baseline="central"'
    return f'<text {centre} font-size="{size}">{escape(text)}</text>'
