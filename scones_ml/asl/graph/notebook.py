"""HTML of machines and executions for notebooks: the graph, with status, duration and error above it."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from scones_ml import strict_json
from scones_ml.asl.execution import Execution
from scones_ml.asl.graph.outcomes import Progress, progress
from scones_ml.asl.graph.palette import NOTEBOOK_STYLE
from scones_ml.asl.graph.svg import render
from scones_ml.asl.graph.wording import duration
from scones_ml.asl.machine import StateMachine
from scones_ml.printable import printable

__all__ = ["execution_html", "machine_html"]

_PLAIN: Final = "mathjax_ignore tex2jax_ignore"  # classes: no formulas between two $
_MOST_BYTES: Final = 190_000  # of a graph: an output of a notebook stays below 200,000
_LONGEST_CAUSE: Final = 1_000
_BADGES: Final = {"SUCCEEDED": "#1f7a3a", "RUNNING": "#1a5fb4"}
_OTHER_BADGE: Final = "#b3261e"


def machine_html(machine: StateMachine, found: Progress | None = None) -> str:
    """The graph of a machine; if it is too large, a note on how to write it to a file."""
    image = render(machine, found)
    if len(image.encode()) <= _MOST_BYTES:
        return f'<div class="{_PLAIN}"><style>{NOTEBOOK_STYLE}</style>{image}</div>\n'
    return (
        f"<p>A state machine with {len(machine.states):,} states: too large to show here; "
        "<code>scones_ml.asl.svg</code> returns the graph.</p>\n"
    )


def execution_html(execution: Execution) -> str:
    """Status, duration and error of an execution, and the coloured graph of its machine."""
    found = progress(execution)
    took = f" in {_text(duration(found.seconds))}" if found.seconds is not None else ""
    colour = _BADGES.get(execution.status, _OTHER_BADGE)
    lines = [
        '<p style="margin:4px 0 8px"><strong style="background:'
        f'{colour};color:#fff;border-radius:4px;padding:2px 8px">{execution.status}</strong>{took}'
        f" <code>{_text(execution.name)}</code></p>"
    ]
    if execution.error is not None:
        cause = _message(execution.cause or "")
        cut = cause if len(cause) <= _LONGEST_CAUSE else cause[:_LONGEST_CAUSE] + "\u2026"
        lines.append(f'<p style="margin:4px 0 8px"><strong>{_text(execution.error)}</strong> {_text(cut)}</p>')
    if execution.definition is not None:
        definition = execution.definition
        machine = definition if isinstance(definition, StateMachine) else StateMachine.from_json(definition)
        lines.append(machine_html(machine, found))
    return f'<div class="{_PLAIN}">{"".join(lines)}</div>\n'


def _message(cause: str) -> str:
    """The message alone, where the cause is the JSON that Lambda makes of an exception."""
    try:
        document = strict_json.parse(cause)
    except ValueError:
        return cause
    message = document.get("errorMessage") if isinstance(document, dict) else None
    return message if isinstance(message, str) else cause


def _text(text: str) -> str:
    return escape(printable(text))
