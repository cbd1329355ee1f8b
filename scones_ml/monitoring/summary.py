"""Summaries of a monitoring result: the key figures, and confidence over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scones_ml.displays import aligned, escaped, fragment, table, tiles
from scones_ml.monitoring import charts

if TYPE_CHECKING:
    from scones_ml.evaluation.intervals import Estimate
    from scones_ml.monitoring.results import Monitoring

__all__ = ["as_html", "as_text"]

_MOST_CLASSES: Final = 20
_NAME: Final = 20  # maximum length of a class name, which each of 600 dots may repeat


def as_text(found: Monitoring) -> str:
    """Period, volume and figures, as text in columns."""
    return "\n".join([_title(found), aligned(_figures(found), [1]), *_drift(found)])


def as_html(found: Monitoring) -> str:
    """Period, volume, figures and the scatter plot of the monitoring page as HTML; a cross goes to review."""
    rows = (
        (row.label, f"{row.count:,}", "{} ({})".format(*_share(row.share))) for row in found.classes[:_MOST_CLASSES]
    )
    names = [name if len(name) <= _NAME else f"{name[: _NAME - 1]}…" for name in found.labels]
    return fragment(
        f'<p class="title">{escaped(_title(found))}</p>',
        *(f'<p class="note">{escaped(line)}</p>' for line in _drift(found)),
        tiles((name, value, note) for name, value, note in _figures(found)),
        charts.scatter(found.dots, names, found.threshold),
        table(("answer", "images", "share"), rows, [1, 2]),
    )


def _title(found: Monitoring) -> str:
    first, last = (f"{time:%Y-%m-%d %H:%M}" for time in (found.first, found.last))
    return f"{found.answered:,} predictions {f'at {first}' if first == last else f'from {first} to {last}'} UTC"


def _drift(found: Monitoring) -> list[str]:
    if found.drift is None:
        return []
    alarms = [figure.name for figure in found.drift.figures if figure.first_alarm]
    return [f"drift: {', '.join(alarms)}" if alarms else "no drift against the reference"]


def _figures(found: Monitoring) -> list[tuple[str, str, str]]:
    rows = [("confidence", f"{found.confidence[2]:.1%}", "median")]
    if found.review is not None:
        value, interval = _share(found.review)
        rows.append(("to review", value, f"{interval} of the predictions"))
    if found.unlikes:
        value, interval = _share(found.unlike)
        rows.append(("unlike", value, f"{interval} unlike the training images"))
    if found.accuracy is not None:
        value, interval = _share(found.accuracy.estimate)
        rows.append(("accuracy", value, f"{interval}, estimated"))
    if found.latency is not None:
        rows.append(("latency", f"{found.latency.median:.1f} ms", f"median; 95 % within {found.latency.q95:.1f} ms"))
    return rows


def _share(found: Estimate) -> tuple[str, str]:
    return f"{found.value:.1%}", f"{found.low:.1%} to {found.high:.1%}"
