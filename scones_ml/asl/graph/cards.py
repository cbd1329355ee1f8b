"""The card of a state, sized to fit its text and the machines inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scones_ml.asl.graph.measure import shorten, text_width
from scones_ml.asl.graph.outcomes import Outcome
from scones_ml.asl.graph.shapes import Card, Drawing, Inside
from scones_ml.asl.graph.transitions import summary
from scones_ml.asl.graph.wording import facts
from scones_ml.asl.states import Map, State
from scones_ml.printable import printable

__all__ = ["FRAME", "HEADER", "NAME_SIZE", "NOTE_SIZE", "STACK", "card"]

HEADER: Final = 46.0
"""Height of a card, or of the part above the machines inside it."""
NAME_SIZE: Final = 13.0
NOTE_SIZE: Final = 11.0
FRAME: Final = 8.0
"""Space between a card's edge and the frame around the machines inside it."""
STACK: Final = 8.0
"""Offset of the sheets behind a Map card, below and to the right."""

_LONGEST: Final = 250.0
_LONGEST_ERROR: Final = 150.0  # leaves room for the rest of the note
_NARROWEST: Final = 136.0
_BESIDE_TEXT: Final = 54.0  # the icon, and the room around it and at the right end
_BADGE: Final = 24.0
_PADDING: Final = 14.0  # inside the frame
_BETWEEN: Final = 22.0


def card(name: str, state: State, outcome: Outcome | None, inside: Sequence[Drawing], *, unknown: bool) -> Card:
    """The card of a state, at (0, 0) until the layout positions it."""
    title = shorten(printable(name), _LONGEST, NAME_SIZE, bold=True)
    note = shorten(printable(_note(state, outcome)), _LONGEST, NOTE_SIZE)
    text = max(text_width(title, NAME_SIZE, bold=True), text_width(note, NOTE_SIZE))
    width = max(_NARROWEST, text + _BESIDE_TEXT + (_BADGE if outcome else 0))
    height = HEADER
    placed: list[Inside] = []
    if inside:
        needed = sum(drawing.width for drawing in inside) + _BETWEEN * (len(inside) - 1)
        tallest = max(drawing.height for drawing in inside)
        width = max(width, needed + 2 * (FRAME + _PADDING))
        x = (width - needed) / 2
        for drawing in inside:
            placed.append(Inside(x, HEADER + _PADDING, drawing))
            x += drawing.width + _BETWEEN
        height = HEADER + tallest + 2 * _PADDING + FRAME
    if isinstance(state, Map):
        width, height = width + STACK, height + STACK
    return Card(name, state, 0, 0, width, height, title, note, outcome, unknown, placed)


def _note(state: State, outcome: Outcome | None) -> str:
    words = [summary(state)]
    if outcome is not None:
        if outcome.error and outcome.status in ("failed", "caught"):
            words = [shorten(printable(outcome.error), _LONGEST_ERROR, NOTE_SIZE)]
        words += facts(outcome)
    return " \u00b7 ".join(words)
