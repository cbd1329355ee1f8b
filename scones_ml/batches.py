"""Many images at a time, each with an outcome of its own: what one of them raises never ends the others.

Whatever reading, decoding or classifying an image raises is this image's outcome with its reason. What it says depends
on where the fault lies:

- the object is gone: ``dropped``; its bytes are no image that can be decoded: ``quarantined``, for good;
- anything else, a missing permission, a time-out, too little memory: ``failed``, to be tried again.

The system's own faults must not become as many equal outcomes as there are images. They are told by comparison: a
missing package or setting, and throttling, are raised where no image of a batch came through; and where none could be
classified, a blank image is: a model that does not answer even that one is what is broken.

Internal: may change without notice.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from scones_ml.errors import (
    ConfigurationError,
    ImageNotFoundError,
    ImageTooLargeError,
    InferenceError,
    InvalidImageError,
    MissingExtraError,
    SconesError,
    TransientServiceError,
)
from scones_ml.events import ImageOutcome, ImageRef
from scones_ml.printable import printable

__all__ = ["BLANK", "answer_each", "check_model", "decoded", "json_lines", "prepare_each", "unclassified"]

Pixels = TypeVar("Pixels")

BLANK: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
"""A white pixel, as PNG."""
_LONGEST_REASON: Final = 500  # characters: foreign messages may quote a whole file


def decoded(decode: Callable[[], Pixels]) -> Pixels:
    """What a decoder returns; whatever it raises says that the image is broken or too large.

    Raises:
        InvalidImageError: the decoder failed.
        ImageTooLargeError: the machine's memory is too small to decode it.
        SconesError: as the decoder raised it.
    """
    try:
        return decode()
    except SconesError:
        raise
    except MemoryError as exc:
        raise ImageTooLargeError("too large to decode in this machine's memory: make it smaller") from exc
    except Exception as exc:  # a bug of the decoder that only this image meets
        raise InvalidImageError(f"its decoder failed: {_reason(exc)}") from exc


def prepare_each(
    batch: Sequence[ImageRef], prepare: Callable[[ImageRef], Pixels], readers: int
) -> list[Pixels | ImageOutcome]:
    """Read and decode each image of a batch; throttled ones are tried again when the others are done.

    Args:
        batch: the objects.
        prepare: reads and decodes one.
        readers: how many at a time.

    Returns:
        Its pixels or its outcome for each, in order.

    Raises:
        ConfigurationError, TransientServiceError: none of them could be read for such a reason.
        MissingExtraError: a package is missing.
    """

    def attempt(ref: ImageRef) -> Pixels | ImageOutcome | SconesError:
        return _attempt(ref, lambda: prepare(ref))

    found = _map(attempt, batch, readers)
    again = [
        attempt(ref) if isinstance(one, TransientServiceError) else one for ref, one in zip(batch, found, strict=True)
    ]
    return _own(batch, again)


def answer_each(
    images: Sequence[tuple[ImageRef, Pixels]],
    classify: Callable[[Sequence[tuple[ImageRef, Pixels]]], Sequence[ImageOutcome]],
) -> list[ImageOutcome]:
    """Classify all images at once, or one by one where that fails.

    Args:
        images: that could be read.
        classify: gives an outcome to each.

    Raises:
        ConfigurationError, TransientServiceError: none of them was answered for such a reason.
    """
    if not images:
        return []
    try:
        return list(classify(images))
    except Exception:  # of one image, or of all: those that can be answered are
        alone = [_attempt(pair[0], lambda pair=pair: classify([pair])[0]) for pair in images]  # type: ignore[misc]
        return _own([ref for ref, _ in images], alone)


def json_lines(outcomes: Sequence[ImageOutcome]) -> str:
    """Outcomes as JSON Lines, one image a line."""
    return "".join(outcome.model_dump_json(exclude_none=True) + "\n" for outcome in outcomes)


def check_model(outcomes: Sequence[ImageOutcome], classify_blank: Callable[[], object]) -> None:
    """Tell a broken model from broken images, where none of several was classified.

    Args:
        outcomes: of a batch.
        classify_blank: classifies :data:`BLANK`.

    Raises:
        InferenceError: the model does not answer that one either.
        ConfigurationError, TransientServiceError: as the classifier raised it.
    """
    broken = [outcome for outcome in outcomes if outcome.outcome in ("quarantined", "failed")]
    if len(broken) < 2 or any(outcome.label for outcome in outcomes):
        return
    try:
        classify_blank()
    except (ConfigurationError, TransientServiceError):
        raise
    except Exception as exc:
        raise InferenceError(f"the model answers no image, not even a blank one: {_reason(exc)}") from exc


def unclassified(ref: ImageRef, error: Exception) -> ImageOutcome:
    """The outcome of an image that could not be read, decoded or classified."""
    if isinstance(error, ImageNotFoundError):
        outcome = "dropped"
    else:
        outcome = "quarantined" if isinstance(error, InvalidImageError | ImageTooLargeError) else "failed"
    text = str(error) if isinstance(error, SconesError) else _reason(error)
    return ImageOutcome.model_validate(
        {
            **ref.model_dump(),
            "image_id": ref.image_id,
            "outcome": outcome,
            "error": type(error).__name__,
            "reason": text.partition(f"{ref.uri}: ")[2] if text.startswith(ref.image_id) else text,
        }
    )


def _attempt(ref: ImageRef, work: Callable[[], Pixels]) -> Pixels | ImageOutcome | SconesError:
    """What came of an image; an error of the kinds that the whole system may have is handed on as it is."""
    try:
        return work()
    except MissingExtraError:
        raise
    except (ConfigurationError, TransientServiceError) as exc:
        return exc
    except Exception as exc:  # whatever one image raises is its own
        return unclassified(ref, exc)


def _own(refs: Sequence[ImageRef], found: Sequence[Pixels | ImageOutcome | SconesError]) -> list[Pixels | ImageOutcome]:
    """Make an error that the system may have the image's own, unless nothing else came of the whole batch.

    Of a single image nobody can tell; throttling is tried again all the same.
    """
    errors = [one for one in found if isinstance(one, SconesError)]
    if errors and len(errors) == len(found) and (len(errors) > 1 or isinstance(errors[0], TransientServiceError)):
        raise errors[0]
    return [
        unclassified(ref, one) if isinstance(one, SconesError) else one for ref, one in zip(refs, found, strict=True)
    ]


def _reason(error: Exception) -> str:
    return printable(" ".join(f"{type(error).__name__}: {error}".split()))[:_LONGEST_REASON].rstrip(": ")


def _map(attempt: Callable[[ImageRef], Pixels], refs: Sequence[ImageRef], readers: int) -> list[Pixels]:
    if readers == 1:
        return [attempt(ref) for ref in refs]
    from concurrent.futures import ThreadPoolExecutor  # most Lambdas never need it

    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(attempt, refs))
