"""Display of an evaluation: the main figures, with intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from scones_ml.displays import aligned, escaped, fragment, table, tiles

if TYPE_CHECKING:
    from scones_ml.evaluation.intervals import Estimate
    from scones_ml.evaluation.metrics import Evaluation

__all__ = ["as_html", "as_text", "headline"]

_MOST_CLASSES: Final = 20


def headline(found: Evaluation) -> str:
    """Summary of an evaluation in one sentence."""
    at = found.at_threshold
    if at is None:
        return "No image passes on its own: there is no threshold."
    if not at.accepted:
        return "No image passes on its own: none reaches the threshold."
    passes = "Every image passes" if at.accepted == found.images else f"{_of_hundred(at.coverage.value)} images pass"
    right = "every answer" if at.correct == at.accepted else f"{_of_hundred(at.precision.value)} answers"
    return f"{passes} on their own, and {right} among them {'was' if right[0] == 'e' else 'were'} right."


def as_text(found: Evaluation) -> str:
    """The headline, then accuracy, coverage and precision in columns."""
    return f"{headline(found)}\n{aligned(_figures(found), [1])}"


def as_html(found: Evaluation) -> str:
    """Headline and figures as tiles, with a table of the classes, hardest first."""
    rows = (
        (row.name, f"{row.support:,}", *("{} ({})".format(*_share(one)) for one in (row.precision, row.recall)))
        for row in found.hardest_classes()[:_MOST_CLASSES]
    )
    rest = len(found.classes) - _MOST_CLASSES
    return fragment(
        f'<p class="title">{escaped(headline(found))}</p>',
        f'<p class="note">{found.correct:,} of {found.images:,} answers are right; intervals hold with 95 % '
        "confidence.</p>",
        tiles((name, value, f"{interval} {note}") for name, value, interval, note in _figures(found)),
        table(("class", "images", "precision", "recall"), rows, [1, 2, 3]),
        f'<p class="note">the hardest of {len(found.classes):,} classes</p>' if rest > 0 else "",
    )


def _figures(found: Evaluation) -> list[tuple[str, str, str, str]]:
    rows = [("accuracy", *_share(found.accuracy), f"of {found.images:,} images")]
    if at := found.at_threshold:
        rows.append(("coverage", *_share(at.coverage), f"accepted at threshold {at.threshold:.4g}"))
        rows.append(("precision", *_share(at.precision), "of the accepted are right"))
    if found.unlike.value:
        rows.append(("unlike", *_share(found.unlike), "unlike the training images"))
    return rows


def _share(found: Estimate) -> tuple[str, str]:
    if math.isnan(found.value):
        return "–", "undefined"
    return f"{found.value:.1%}", f"{found.low:.1%} to {found.high:.1%}"


def _of_hundred(share: float) -> str:
    """Share as ``"N of 100"``, where 0 and 100 are exact."""
    return f"{min(99, max(1, round(100 * share)))} of 100"
