"""The pages of the review: rendered here, whole, so that they work without a script."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from scones_ml.events import FilteredImage
from scones_ml.images import Preview
from scones_ml.reports.page import asset, environment
from scones_ml.review.annotations import NONE_OF_THESE
from scones_ml.review.session import ReviewSession
from scones_ml.verdicts import NO_THRESHOLD, UNLIKE

if TYPE_CHECKING:
    import jinja2

__all__ = ["Choice", "ReviewPages", "choices"]

_KEYS = 9  # digits from 1
_WHY: Final = {
    UNLIKE: "The image is unlike the training images: no answer to it passes on its own.",
    NO_THRESHOLD: "The model has no threshold: no answer passes on its own.",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A class that can be answered.

    Attributes:
        label: its name.
        key: the digit that answers it; None for those that are chosen from the list.
    """

    label: str
    key: str | None


def choices(classes: tuple[str, ...], image: FilteredImage) -> tuple[Choice, ...]:
    """The classes with their keys: always the same where nine digits suffice, else the model's best guesses first.

    Args:
        classes: all of them, in the model's order where that is known.
        image: what the model said.
    """
    if len(classes) <= _KEYS:
        return tuple(Choice(label, str(number)) for number, label in enumerate(classes, start=1))
    best = list(classes)
    if len(image.inferences) == len(classes):
        probabilities = dict(zip(classes, image.inferences, strict=True))
        best.sort(key=lambda label: -probabilities[label])
    # A stable sort: the answer comes first, the others stay in their order.
    best.sort(key=lambda label: label != image.label)
    keys = {label: str(number) for number, label in enumerate(best[:_KEYS], start=1)}
    return tuple(Choice(label, keys[label]) for label in best[:_KEYS]) + tuple(
        Choice(label, None) for label in sorted(classes) if label not in keys
    )


class ReviewPages:
    """Renders the pages of one review.

    Args:
        review: what is reviewed.
        classes: what can be answered.
        source: where the queue is, for people.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """

    def __init__(self, review: ReviewSession, classes: tuple[str, ...], source: str) -> None:
        self.classes = classes
        self._review = review
        self._source = source
        self._environment, self._markup = environment()
        self._style = asset("report.css") + _asset("review.css")
        self._script = _asset("review.js")

    @property
    def policy(self) -> str:
        """The Content-Security-Policy of every page: its own style and script, images and forms of this server."""
        return (
            "default-src 'none'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; style-src '{_hash(self._style)}'; script-src '{_hash(self._script)}'"
        )

    def question(
        self, image: FilteredImage, preview: Preview, following: FilteredImage | None, came_from: str = ""
    ) -> str:
        """The page that asks for one image.

        Args:
            image: which.
            preview: as it will be shown.
            following: the next one, fetched ahead.
            came_from: ``"conflicts"`` when its answer leads back there.
        """
        verdicts = {verdict.image_id: verdict for verdict in self._review.conflicts()}
        verdict = verdicts.get(image.image_id)
        return self._render(
            "question",
            image=image,
            preview=preview,
            following=following,
            choices=choices(self.classes, image),
            said=verdict.annotations if verdict else (),
            came_from=came_from,
            why=_WHY.get(image.reason or "", ""),
        )

    def nothing_left(self) -> str:
        """The page at the end of the queue."""
        return self._render("done")

    def conflicts(self) -> str:
        """Every image whose reviewers do not agree, with all their answers."""
        return self._render("conflicts", verdicts=self._review.conflicts())

    def trouble(self, message: str) -> str:
        """A page that says what went wrong, and how to go on; it needs neither answers nor images."""
        return self._page(page="trouble", message=message)

    def _render(self, page: str, **values: object) -> str:
        progress = self._review.progress()
        return self._page(
            page=page,
            position=min(progress.answered + progress.skipped + progress.lost + 1, progress.total),
            progress=progress,
            last=self._review.last(),
            lost=self._review.lost(),
            **values,
        )

    def _page(self, **values: object) -> str:
        return self._template.render(
            style=self._markup(self._style),
            script=self._markup(self._script),
            reviewer=self._review.reviewer,
            second_opinion=self._review.second_opinion,
            answers=self._review.file.path,
            classes=self.classes,
            none_of_these=NONE_OF_THESE,
            source=self._source,
            **values,
        )

    @cached_property
    def _template(self) -> jinja2.Template:
        return self._environment.from_string(_asset("review.html.j2"))


def _asset(name: str) -> str:
    return files("scones_ml.review").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
