"""The monitoring page: a self-contained HTML file in the report's style, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from scones_ml import images
from scones_ml.errors import ImageError
from scones_ml.monitoring import charts
from scones_ml.monitoring.drift import FigureDrift
from scones_ml.monitoring.results import Monitoring, evidence_in_words, number_in_words
from scones_ml.reports.page import asset, environment

__all__ = ["ReferenceImage", "render_page"]

_THUMBNAIL = images.ImagePolicy(image_size=96)  # pixels per side: enough to recognise an image, and below 40 KB each
_MOST_ROWS = 24  # rows of a table: the most important of many classes
_IN_PERCENT = ("confidence", "share of ")


@dataclass(frozen=True)
class ReferenceImage:
    """One image of the reference data set.

    Attributes:
        key: its name.
        label: its class.
        image: the file's bytes.
    """

    key: str
    label: str
    image: bytes


@dataclass(frozen=True)
class _Thumbnail:
    png: bytes | None
    reduced: bool


def render_page(found: Monitoring, created: datetime, reference_images: Sequence[ReferenceImage] = ()) -> str:
    """The page as HTML text; write it as UTF-8.

    Args:
        found: the monitoring result.
        created: the time to show.
        reference_images: a few images, shown beside recent ones if there is an alarm.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    renderer, markup = environment()
    renderer.filters["figure"] = _figure
    renderer.filters["evidence"] = evidence_in_words
    renderer.filters["thumbnail"] = _thumbnail
    drawings = {
        "scatter": charts.scatter(found.dots, found.labels, found.threshold),
        "bands": charts.bands(found.spans, len(found.labels), found.threshold),
        "volume": charts.volume(found.spans),
    }
    figures = found.drift.figures if found.drift else ()
    alarms = [figure for figure in figures if figure.first_alarm]
    template = files("scones_ml.monitoring").joinpath("templates", "monitoring.html.j2").read_text(encoding="utf-8")
    return renderer.from_string(template).render(
        found=found,
        created=created,
        style=markup(asset("report.css")),
        drawings={name: markup(svg) for name, svg in drawings.items()},
        alarms=alarms,
        then=reference_images if alarms else (),
        now=found.recent if alarms else (),
        figures=_most_telling(figures),
        classes=sorted(found.classes, key=lambda row: -row.count)[:_MOST_ROWS]
        if len(found.classes) > _MOST_ROWS
        else found.classes,
    )


def _most_telling(figures: Sequence[FigureDrift]) -> list[FigureDrift]:
    """All figures in order; if there are very many, those with the most evidence, which include all alarms."""
    ranked = sorted(figures, key=lambda figure: (figure.first_alarm is None, -figure.evidence / figure.needed))
    kept = {figure.name for figure in ranked[:_MOST_ROWS]}
    return [figure for figure in figures if figure.name in kept]


def _figure(figure: FigureDrift, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}\u00a0%" if figure.name.startswith(_IN_PERCENT) else number_in_words(value)


def _thumbnail(image: bytes) -> _Thumbnail:
    try:
        made = images.preview(image, _THUMBNAIL)
    except ImageError:
        return _Thumbnail(None, False)
    return _Thumbnail(made.data, max(made.width, made.height) == _THUMBNAIL.image_size)
