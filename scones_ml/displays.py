"""Results as text for a terminal and as HTML for a notebook.

HTML contains no scripts, escapes all text and stays below 200 KB. Text has the notebook's colour, and other colours are
readable on light and dark backgrounds.

Internal: may change without notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import zip_longest
from typing import Final

from scones_ml.printable import printable

__all__ = ["ROOM", "aligned", "dollars", "escaped", "fragment", "table", "tiles"]

ROOM: Final = 140_000
"""Maximum bytes of HTML for one part of a result."""
_LONGEST: Final = 200  # characters of a cell

# JupyterLab's selectors float terms and align cells to the right; these need a higher specificity.
_STYLE: Final = """
.scones { --right: #0d8f87; --wrong: #d9541e; --line: #8885;
  max-width: 60em; line-height: 1.45; font-variant-numeric: tabular-nums; }
.scones .title { font-size: 1.2em; font-weight: 600; margin: .3em 0; text-wrap: balance; }
.scones .note { opacity: .75; margin: .3em 0; }
.scones table { border-collapse: collapse; margin: .7em 0; }
.scones.scones table :is(th, td) { padding: .25em 1.2em .25em 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.scones.scones table :is(th, td).number { text-align: right; white-space: nowrap; }
.scones table th { font-weight: 500; opacity: .75; }
.scones .tiles { display: flex; flex-wrap: wrap; gap: .6em 2.4em; margin: .8em 0; }
.scones .tiles :is(dt, dd) { display: block; float: none; width: auto; padding: 0; }
.scones .tiles dt { font-weight: 400; opacity: .75; }
.scones .tiles dd { font-size: 1.5em; font-weight: 600; line-height: 1.3; margin: 0; }
.scones .tiles small { display: block; font-size: .58em; font-weight: 400; opacity: .75; }
.scones .images { display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr));
  gap: 12px; margin: .8em 0; }
.scones .images figure { margin: 0; }
.scones .images figcaption { font-size: .85em; opacity: .85; overflow-wrap: anywhere; }
.scones.scones .images :is(img, .none) { display: block; width: 96px; height: 96px; object-fit: contain;
  background: #8883; border-radius: 6px; }
.scones .images .small { image-rendering: pixelated; }
.scones svg { display: block; width: 100%; max-width: 40em; height: auto; overflow: visible; }
.scones svg text { fill: currentColor; font-size: 13px; opacity: .75; }
.scones svg .end { text-anchor: end; }
.scones svg .middle { text-anchor: middle; }
.scones svg .grid { stroke: var(--line); }
.scones svg .right { fill: var(--right); }
.scones svg .doubt { fill: none; stroke: var(--wrong); stroke-width: 2; }
.scones svg .threshold { stroke: currentColor; stroke-width: 1.6; stroke-dasharray: 7 4; }
.scones svg .hidden { display: none; }
"""


def aligned(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Format rows as text in columns.

    Args:
        rows: cells; a short row leaves its last columns empty.
        right: indices of the right-aligned columns.
    """
    numbers = frozenset(right)
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return "\n".join(
        "   ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    )


def dollars(amount: float | None) -> str:
    """An amount with at least two decimals and all digits of small amounts: ``"$0.115"``."""
    if amount is None:
        return "unknown"
    return f"${amount:,.2f}" if round(amount, 2) == round(amount, 5) else f"${amount:,.5f}".rstrip("0")


def escaped(text: str) -> str:
    """Text escaped for HTML, with control characters escaped as well; very long text is cut."""
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return escape(printable(shown))


def fragment(*parts: str) -> str:
    """HTML of one result with its style; MathJax, which would typeset text between dollar signs, is turned off.

    Args:
        parts: HTML; parts of variable length must have at most ``ROOM`` bytes.
    """
    return f'<div class="scones mathjax_ignore tex2jax_ignore"><style>{_STYLE}</style>{"".join(parts)}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table; rows beyond ``ROOM`` are counted in its last line.

    Args:
        columns: headings.
        rows: cells as text.
        right: indices of the right-aligned columns.
    """
    numbers = frozenset(right)
    lines, room, left = [_row("th", columns, numbers)], ROOM, 0
    for cells in rows:
        line = _row("td", cells, numbers)
        room -= len(line.encode())
        left += room < 0
        lines += [line] if room >= 0 else []
    more = f'<p class="note">and {left:,} more</p>' if left else ""
    return f"<table>{''.join(lines)}</table>{more}"


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """A few large figures side by side.

    Args:
        figures: name, value and note of each.
    """
    cells = (f"<div><dt>{escaped(a)}</dt><dd>{escaped(b)}<small>{escaped(c)}</small></dd></div>" for a, b, c in figures)
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def _row(tag: str, cells: Sequence[str], right: frozenset[int]) -> str:
    starts = (f'<{tag} class="number">' if place in right else f"<{tag}>" for place in range(len(cells)))
    texts = (f"{start}{escaped(cell)}</{tag}>" for start, cell in zip(starts, cells, strict=True))
    return f"<tr>{''.join(texts)}</tr>"
