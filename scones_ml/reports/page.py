"""Common parts of pages: style, formatting of figures, and the templates' environment."""

from __future__ import annotations

import base64
import math
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from scones_ml.errors import MissingExtraError

if TYPE_CHECKING:
    import jinja2
    import markupsafe

    from scones_ml.evaluation.intervals import Estimate

__all__ = ["asset", "environment"]

_PNG = b"\x89PNG\r\n\x1a\n"


def environment() -> tuple[jinja2.Environment, type[markupsafe.Markup]]:
    """The template environment: all text is escaped, except our drawings, which are ``Markup``.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        import jinja2
        import markupsafe
    except ImportError as exc:
        raise MissingExtraError("Jinja2", "report") from exc
    made = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(asset),
    )
    made.filters["percent"] = _percent
    made.filters["interval"] = lambda e: f"{100 * e.low:.1f} to {100 * e.high:.1f}"
    made.filters["decimals"] = _decimals
    made.filters["counted"] = lambda count, noun: f"{count:,} {noun if count == 1 else noun + 's'}"
    made.filters["threshold"] = lambda threshold: f"{threshold:.4g}"
    made.filters["of_hundred"] = _of_hundred
    made.filters["data_uri"] = _data_uri
    made.filters["middle"] = _middle
    made.filters["unbroken"] = lambda text: re.sub(r"(?<=\d) (?=%|ms\b)", "\u00a0", text)
    return made, markupsafe.Markup


def _percent(share: float) -> str:
    """A percentage with one decimal; 100.0 only for the exact value."""
    return "–" if math.isnan(share) else f"{100 * share if share == 1 else min(99.9, 100 * share):.1f}\u00a0%"


def _decimals(estimate: Estimate, digits: int = 3) -> str:
    """A figure other than a share, with its interval; a dash if undefined."""
    if math.isnan(estimate.value):
        return "–"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


def _of_hundred(share: float) -> int:
    """A share as a number of 100, rounded; 100 and 0 only for the exact values."""
    return 100 if share == 1 else 0 if share == 0 else min(99, max(1, round(100 * share)))


def _middle(text: str, most: int) -> str:
    """A long name shortened in the middle, since its beginning and end distinguish images."""
    if len(text) <= most:
        return text
    end = (most - 1) * 2 // 3
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def _data_uri(png: bytes | None) -> str | None:
    if png is None or not png.startswith(_PNG):
        return None
    return "data:image/png;base64," + base64.b64encode(png).decode()


def asset(name: str) -> str:
    """A style sheet, script or template of the package."""
    return files("scones_ml.reports").joinpath("templates", name).read_text(encoding="utf-8")
