"""The pages of the review, rendered on the server so that they work without scripts."""

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

_KEYS: Final = "1234567890qwertyiopasdfghjklzxcvbm"
"""Keys of the classes in order: digits, then letters as on a keyboard; N and U have other meanings."""
_WHY: Final = {
    UNLIKE: "The image is unlike the training images, so it is reviewed whatever the confidence.",
    NO_THRESHOLD: "The model has no threshold, so every image is reviewed.",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A class that can be chosen.

    Attributes:
        label: the class's name.
        key: the key for it; None if it is only in the list.
    """

    label: str
    key: str | None


def choices(classes: tuple[str, ...]) -> tuple[Choice, ...]:
    """The classes in order with their keys, the same for every image, so that no prediction is favoured.

    Args:
        classes: all classes, in the model's order if known; those after the 34th have no key.
    """
    keys = (*_KEYS, *[None] * len(classes))
    return tuple(Choice(label, key) for label, key in zip(classes, keys, strict=False))


class ReviewPages:
    """A renderer of the pages of one review.

    Args:
        review: the session.
        classes: the classes that can be chosen.
        source: location of the queue, for display.
        show_guess: whether to mark the model's prediction before the answer; after it, the prediction is always shown.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """

    def __init__(self, review: ReviewSession, classes: tuple[str, ...], source: str, show_guess: bool = True) -> None:
        self.classes = classes
        self._review = review
        self._source = source
        self._show_guess = show_guess
        self._environment, self._markup = environment()
        self._style = asset("report.css") + _asset("review.css")
        self._script = _asset("review.js")

    @property
    def policy(self) -> str:
        """The Content-Security-Policy of every page: its own style and script, and images and forms of this server."""
        return (
            "default-src 'none'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; style-src '{_hash(self._style)}'; script-src '{_hash(self._script)}'"
        )

    def question(
        self, image: FilteredImage, preview: Preview, following: FilteredImage | None, came_from: str = ""
    ) -> str:
        """The page for one image.

        Args:
            image: the image to review.
            preview: its preview.
            following: the next image, to be prefetched.
            came_from: ``"conflicts"`` to return there after the answer.
        """
        verdicts = {verdict.image_id: verdict for verdict in self._review.conflicts()}
        verdict = verdicts.get(image.image_id)
        return self._render(
            "question",
            image=image,
            shown=self._review.show(image),
            preview=preview,
            following=following,
            choices=choices(self.classes),
            said=verdict.annotations if verdict else (),
            came_from=came_from,
            why=_WHY.get(image.reason or "", ""),
        )

    def nothing_left(self) -> str:
        """The page at the end of the queue."""
        return self._render("done")

    def conflicts(self) -> str:
        """The page with all images on which reviewers disagree, with their annotations."""
        return self._render("conflicts", verdicts=self._review.conflicts())

    def trouble(self, message: str) -> str:
        """The page for an error and its remedy; it reads neither annotations nor images."""
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
            show_guess=self._show_guess,
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
