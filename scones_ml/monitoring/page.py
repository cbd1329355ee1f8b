"""The monitoring page: one self-contained HTML file in the report's style, without a script."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from scones_ml import images
from scones_ml.errors import ImageError
from scones_ml.monitoring import charts
from scones_ml.monitoring.drift import FigureDrift
from scones_ml.monitoring.results import Doubtful, Monitoring, evidence_in_words, number_in_words
from scones_ml.reports.page import asset, environment

__all__ = ["render_page"]

_THUMBNAIL = images.ImagePolicy(image_size=96)  # pixels: enough to recognise, some kilobytes each
_IN_PERCENT = ("confidence", "share of ")


@dataclass(frozen=True)
class _Thumbnail:
    """One of the least sure answers with its image."""

    row: Doubtful
    png: bytes | None
    reduced: bool


def render_page(found: Monitoring, created: datetime) -> str:
    """The page as HTML text, to be written as UTF-8.

    Args:
        found: what is shown.
        created: when, as the caller says.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    renderer, markup = environment()
    renderer.filters["figure"] = _figure
    renderer.filters["evidence"] = evidence_in_words
    drawings = {
        "scatter": charts.scatter(found.dots, found.labels, found.threshold),
        "bands": charts.bands(found.spans, len(found.labels), found.threshold),
        "volume": charts.volume(found.spans),
    }
    template = files("scones_ml.monitoring").joinpath("templates", "monitoring.html.j2").read_text(encoding="utf-8")
    return renderer.from_string(template).render(
        found=found,
        created=created,
        style=markup(asset("report.css")),
        drawings={name: markup(svg) for name, svg in drawings.items()},
        alarms=[figure for figure in found.drift.figures if figure.first_alarm] if found.drift else [],
        thumbnails=[_thumbnail(row) for row in found.doubtful],
    )


def _figure(figure: FigureDrift, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}\u00a0%" if figure.name.startswith(_IN_PERCENT) else number_in_words(value)


def _thumbnail(row: Doubtful) -> _Thumbnail:
    try:
        made = images.preview(row.image, _THUMBNAIL)
    except ImageError:
        return _Thumbnail(row, None, False)
    return _Thumbnail(row, made.data, max(made.width, made.height) == _THUMBNAIL.image_size)
