"""A machine as SVG text, reproducible and without scripts or external resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from scones_ml.asl.execution import Execution
from scones_ml.asl.graph.cards import FRAME, HEADER, NAME_SIZE, NOTE_SIZE, STACK
from scones_ml.asl.graph.drawing import LABEL_SIZE, LINE_HEIGHT, draw
from scones_ml.asl.graph.icons import STATES, STATUSES
from scones_ml.asl.graph.layered import Stop
from scones_ml.asl.graph.measure import text_width
from scones_ml.asl.graph.outcomes import Progress, StateStatus, progress
from scones_ml.asl.graph.palette import DARK_STYLE, ROOT, paint
from scones_ml.asl.graph.shapes import Card, Drawing, Label, Marker, Route
from scones_ml.asl.graph.wording import STATUS_WORDS, facts
from scones_ml.asl.machine import Definition, StateMachine
from scones_ml.asl.states import Fail, Map, Succeed
from scones_ml.asl.values import Json
from scones_ml.printable import printable

__all__ = ["render", "svg"]

_MARGIN: Final = 20.0
_LEGEND: Final = 34.0
_MOST_NAMES: Final = 40  # in the description
_FONTS: Final = (
    "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,'Helvetica Neue',Arial,'Liberation Sans','DejaVu Sans',"
    "sans-serif"
)


def svg(definition: Definition, execution: Execution | Mapping[str, Json] | None = None) -> str:
    """The machine as an SVG image, for light and dark surroundings.

    Args:
        definition: the machine.
        execution: the result of `run`, or the JSON of GetExecutionHistory; states are coloured by outcome, and the
            transitions that were taken are highlighted.

    Raises:
        InvalidDefinitionError: the definition is invalid.
        WorkflowError: the JSON is not a history.
    """
    machine = definition if isinstance(definition, StateMachine) else StateMachine.from_json(definition)
    return render(machine, progress(execution) if execution is not None else None)


def render(machine: StateMachine, found: Progress | None = None) -> str:
    """The machine as an SVG image, coloured by the outcomes of an execution; uncoloured without events."""
    reached = found if found is not None and found.states else None
    drawing = draw(machine, reached)
    legend = _used(drawing) if reached is not None else []
    width = max(drawing.width, _legend_width(legend)) + 2 * _MARGIN
    height = drawing.height + 2 * _MARGIN + (_LEGEND if legend else 0)
    shift = (width - drawing.width) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{ROOT}" role="img" width="{_n(width)}" '
        f'height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}" font-family="{_FONTS}" '
        f'style="max-width:100%;height:auto">',
        f"<title>{_text(_title(machine, found))}</title>",
        f"<desc>{_text(_description(drawing, coloured=reached is not None))}</desc>",
        f"<style>{DARK_STYLE}</style>",
        f'<rect {paint("page")} width="{_n(width)}" height="{_n(height)}" rx="8"/>',
        f'<g transform="translate({_n(shift)} {_n(_MARGIN)})">',
        *_drawing(drawing, coloured=reached is not None),
        "</g>",
        *_legend(legend, (width - _legend_width(legend)) / 2, height - _MARGIN - 8),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _n(number: float) -> str:
    """A number with at most one decimal, since a second one is invisible."""
    return f"{round(number, 1):g}" if abs(number) < 1e5 else str(round(number))


def _text(text: str) -> str:
    """Escaped text; characters that XML does not allow are escaped as for a terminal, line breaks are kept."""
    return escape("\n".join(printable(line) for line in text.split("\n")), {'"': "&quot;"})


def _title(machine: StateMachine, found: Progress | None) -> str:
    title = printable(machine.comment or "State machine")
    return f"{title}: {found.status}" if found else title


def _cards(drawing: Drawing) -> Iterator[Card]:
    for card in drawing.cards:
        yield card
        for inside in card.inside:
            yield from _cards(inside.drawing)


def _description(drawing: Drawing, *, coloured: bool) -> str:
    cards = list(_cards(drawing))
    words = f"{len(cards):,} {'state' if len(cards) == 1 else 'states'}"
    if not coloured:
        return f"{words}: {_listed([card.name for card in cards])}"
    groups = []
    for status, word in STATUS_WORDS.items():
        names = [card.name for card in cards if card.outcome and card.outcome.status == status]
        if names:
            groups.append(f"{len(names):,} {word} ({_listed(names)})")
    return "; ".join([words, *groups])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= _MOST_NAMES else [*names[:_MOST_NAMES], "\u2026"])


def _drawing(drawing: Drawing, *, coloured: bool, inner: bool = False) -> Iterator[str]:
    order = sorted(drawing.routes, key=lambda route: bool(route.taken))
    for route in order:
        yield from _route(route)
    for marker in drawing.markers:
        yield from _marker(marker)
    for card in drawing.cards:
        yield from _card(card, coloured=coloured)
    for label in drawing.labels:
        yield from _label(label, inner=inner)


def _route(route: Route) -> Iterator[str]:
    role = "line" if route.taken is None else "quiet" if not route.taken else "gone"
    if route.taken and route.kind == "catch":
        role = "error"
    dash = ' stroke-dasharray="5 4"' if route.kind == "catch" else ""
    width = "2.2" if route.taken else "1.4"
    if route.loop is not None:
        right, y = route.loop
        out, top, bottom = _n(right + 34), _n(y - 18), _n(y + 18)
        path = f"M{_n(right)} {_n(y - 9)}C{out} {top} {out} {bottom} {_n(right + 6)} {_n(y + 9)}"
        tip = f"M{_n(right)} {_n(y + 9)}l7.5 -4v8z"
    else:
        path, tip = _path(route), _tip(route)
    yield f'<path {paint(role)} stroke-width="{width}"{dash} d="{path}"/>'
    if tip:
        yield f'<path {paint("tip-" + role)} d="{tip}"/>'


def _path(route: Route) -> str:
    stops = list(route.stops)
    if route.arrow:  # the line ends inside the arrow's tip
        last = stops[-1]
        back = 5 if route.upwards else -5
        stops[-1] = Stop(last.node, last.x, last.start, last.end + back)
    x, y = stops[0].x, stops[0].start
    parts = [f"M{_n(x)} {_n(y)}"]
    if stops[0].end != y:
        parts.append(f"V{_n(stops[0].end)}")
    y = stops[0].end
    for stop in stops[1:]:
        if abs(stop.x - x) >= 0.1:
            half = (y + stop.start) / 2
            parts.append(f"C{_n(x)} {_n(half)} {_n(stop.x)} {_n(half)} {_n(stop.x)} {_n(stop.start)}")
            if stop.end != stop.start:
                parts.append(f"V{_n(stop.end)}")
        elif parts[-1].startswith("V"):
            parts[-1] = f"V{_n(stop.end)}"
        else:
            parts.append(f"V{_n(stop.end)}")
        x, y = stop.x, stop.end
    return "".join(parts)


def _tip(route: Route) -> str:
    if not route.arrow:
        return ""
    x, y = route.stops[-1].x, route.stops[-1].end
    return f"M{_n(x)} {_n(y)}l{'-4 7.5h8z' if route.upwards else '-4 -7.5h8z'}"


def _marker(marker: Marker) -> Iterator[str]:
    middle, centre = marker.x + marker.width / 2, marker.y + marker.height / 2
    if marker.inner and marker.word == "Start":
        yield f'<circle {paint("marker")} cx="{_n(middle)}" cy="{_n(centre)}" r="5"><title>Start</title></circle>'
    elif marker.inner:
        yield (
            f'<circle {paint("line")} stroke-width="1.5" cx="{_n(middle)}" cy="{_n(centre)}" r="5.2"/>'
            f'<circle {paint("marker")} cx="{_n(middle)}" cy="{_n(centre)}" r="2.6"><title>End</title></circle>'
        )
    else:
        yield (
            f'<rect {paint("marker")} x="{_n(marker.x)}" y="{_n(marker.y)}" width="{_n(marker.width)}" '
            f'height="{_n(marker.height)}" rx="{_n(marker.height / 2)}"/>'
            f'<text {paint("word")} x="{_n(middle)}" y="{_n(centre + 4)}" font-size="12" font-weight="600" '
            f'text-anchor="middle">{marker.word}</text>'
        )


def _card(card: Card, *, coloured: bool) -> Iterator[str]:
    role = card.outcome.status if card.outcome else "idle" if coloured and not card.unknown else "card"
    width, height = card.width, card.height
    title = _text(_tooltip(card, coloured=coloured))
    yield f'<g transform="translate({_n(card.x)} {_n(card.y)})"><title>{title}</title>'
    if isinstance(card.state, Map):
        width, height = width - STACK, height - STACK
        for offset in (STACK, STACK / 2):
            yield _rect(role, offset, offset, width, height, 8)
    radius = HEADER / 2 if isinstance(card.state, Succeed | Fail) else 8
    yield _rect(role, 0, 0, width, height, radius)
    if card.inside:
        yield _rect("inside", FRAME, HEADER, width - 2 * FRAME, height - HEADER - FRAME, 5)
    yield from _caption(card, faint=role == "idle")
    if card.outcome:
        yield _badge(card.outcome.status, width - 26, 14)
    for inside in card.inside:
        yield f'<g transform="translate({_n(inside.x)} {_n(inside.y)})">'
        yield from _drawing(inside.drawing, coloured=coloured and not card.unknown, inner=True)
        yield "</g>"
    yield "</g>"


def _caption(card: Card, *, faint: bool) -> Iterator[str]:
    icon, name, note = ("icon-faint", "faint", "faint") if faint else ("icon", "name", "note")
    yield (
        f'<path {paint(icon)} stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" '
        f'transform="translate(13 15)" d="{STATES[card.state.type]}"/>'
        f'<text {paint(name)} x="39" y="20" font-size="{NAME_SIZE:g}" font-weight="600">{_text(card.title)}</text>'
        f'<text {paint(note)} x="39" y="36" font-size="{NOTE_SIZE:g}">{_text(card.note)}</text>'
    )


def _rect(role: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    at = f' x="{_n(x)}" y="{_n(y)}"' if x or y else ""
    return f'<rect {paint(role)}{at} width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}" stroke-width="1.4"/>'


def _badge(status: StateStatus, x: float, y: float) -> str:
    return (
        f'<g transform="translate({_n(x)} {_n(y)})"><circle {paint("disc-" + status)} cx="8" cy="8" r="8"/>'
        f'<path {paint("sign")} stroke-width="2" stroke-linecap="round" stroke-linejoin="round" '
        f'd="{STATUSES[status]}"/></g>'
    )


def _tooltip(card: Card, *, coloured: bool) -> str:
    lines = [f"{card.name} ({card.state.type})"]
    if card.outcome is not None:
        lines.append(", ".join([STATUS_WORDS[card.outcome.status], *facts(card.outcome)]))
        if card.outcome.error:
            lines.append(card.outcome.error)
    elif card.unknown:
        lines.append("runs in child executions: see their histories")
    elif coloured:
        lines.append("not reached")
    if card.state.comment:
        lines.append(card.state.comment)
    return "\n".join(lines)


def _label(label: Label, *, inner: bool) -> Iterator[str]:
    left, top = label.x - label.width / 2, label.y - label.height / 2
    spans = "".join(
        f'<tspan x="{_n(label.x)}" y="{_n(top + 2 + LINE_HEIGHT * (number + 0.76))}">{_text(line)}</tspan>'
        for number, line in enumerate(label.lines)
    )
    role = "label-inside" if inner else "label"
    yield (
        f"<g><title>{_text(label.whole)}</title>"
        f'<rect {paint(role)} x="{_n(left + 2)}" y="{_n(top + 1)}" width="{_n(label.width - 4)}" '
        f'height="{_n(label.height - 2)}" rx="4"/>'
        f'<text {paint("note")} font-size="{LABEL_SIZE:g}" text-anchor="middle">{spans}</text></g>'
    )


def _used(drawing: Drawing) -> Sequence[tuple[str, str]]:
    cards = list(_cards(drawing))
    statuses = {card.outcome.status for card in cards if card.outcome}
    used: list[tuple[str, str]] = [(status, word) for status, word in STATUS_WORDS.items() if status in statuses]
    if any(card.outcome is None and not card.unknown for card in cards):
        used.append(("idle", "not reached"))
    return used


def _legend_width(entries: Sequence[tuple[str, str]]) -> float:
    return sum(text_width(word, LABEL_SIZE) + 40 for _, word in entries) - (18 if entries else 0)


def _legend(entries: Sequence[tuple[str, str]], x: float, y: float) -> Iterator[str]:
    for status, word in entries:
        if status == "idle":
            yield f'<circle {paint("idle")} cx="{_n(x + 8)}" cy="{_n(y)}" r="7.3" stroke-width="1.4"/>'
        else:
            yield next(_badge(found, x, y - 8) for found in STATUSES if found == status)
        yield f'<text {paint("note")} x="{_n(x + 22)}" y="{_n(y + 4)}" font-size="{LABEL_SIZE:g}">{word}</text>'
        x += text_width(word, LABEL_SIZE) + 40
