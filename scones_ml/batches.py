"""Batches of images with one outcome each: an error of one image does not affect the others.

An error in reading, decoding or classifying an image becomes its outcome, with the reason:

- the object does not exist: ``dropped``; its bytes cannot be decoded as an image: ``quarantined``, permanently;
- any other error, such as a missing permission, a timeout or too little memory: ``failed``, to be retried.

System-wide errors must not become outcomes of all images. They are recognised by comparison: a missing package or
setting, and throttling, are raised if no image of a batch succeeded; and if no image could be classified, a blank image
is tried: if that fails, too, the model is broken.

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
_LONGEST_REASON: Final = 500  # characters; foreign messages may be very long


def decoded(decode: Callable[[], Pixels]) -> Pixels:
    """Run a decoder, and translate its errors to errors of the image.

    Raises:
        InvalidImageError: the decoder failed.
        ImageTooLargeError: the machine's memory is too small to decode the image.
        SconesError: as raised by the decoder.
    """
    try:
        return decode()
    except SconesError:
        raise
    except MemoryError as exc:
        raise ImageTooLargeError("too large to decode in this machine's memory: make it smaller") from exc
    except Exception as exc:  # a decoder's bug, triggered by this image
        raise InvalidImageError(f"the decoder failed: {_reason(exc)}") from exc


def prepare_each(
    batch: Sequence[ImageRef], prepare: Callable[[ImageRef], Pixels], readers: int
) -> list[Pixels | ImageOutcome]:
    """Read and decode each image of a batch; throttled reads are retried after the others.

    Args:
        batch: references to the objects.
        prepare: function that reads and decodes one.
        readers: number of concurrent reads.

    Returns:
        Pixels or outcome of each image, in order.

    Raises:
        ConfigurationError, TransientServiceError: no image could be read, for this reason.
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
    """Classify all images at once, or one by one if that fails.

    Args:
        images: images that could be read.
        classify: function that returns an outcome for each.

    Raises:
        ConfigurationError, TransientServiceError: no image could be classified, for this reason.
    """
    if not images:
        return []
    try:
        return list(classify(images))
    except Exception:  # caused by one image or all: classify one by one
        alone = [_attempt(pair[0], lambda pair=pair: classify([pair])[0]) for pair in images]  # type: ignore[misc]
        return _own([ref for ref, _ in images], alone)


def json_lines(outcomes: Sequence[ImageOutcome]) -> str:
    """Outcomes as JSON Lines, one image a line."""
    return "".join(outcome.model_dump_json(exclude_none=True) + "\n" for outcome in outcomes)


def check_model(outcomes: Sequence[ImageOutcome], classify_blank: Callable[[], object]) -> None:
    """Distinguish a broken model from broken images, if none of several was classified.

    Args:
        outcomes: outcomes of a batch.
        classify_blank: function that classifies :data:`BLANK`.

    Raises:
        InferenceError: the model cannot classify a blank image either.
        ConfigurationError, TransientServiceError: as raised by the classifier.
    """
    broken = [outcome for outcome in outcomes if outcome.outcome in ("quarantined", "failed")]
    if len(broken) < 2 or any(outcome.label for outcome in outcomes):
        return
    try:
        classify_blank()
    except (ConfigurationError, TransientServiceError):
        raise
    except Exception as exc:
        raise InferenceError(f"the model cannot classify any image, not even a blank one: {_reason(exc)}") from exc


def unclassified(ref: ImageRef, error: Exception) -> ImageOutcome:
    """Outcome of an image that could not be read, decoded or classified."""
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
    """Process an image; returns pixels, an outcome, or an error that may be system-wide."""
    try:
        return work()
    except MissingExtraError:
        raise
    except (ConfigurationError, TransientServiceError) as exc:
        return exc
    except Exception as exc:  # any error becomes the image's outcome
        return unclassified(ref, exc)


def _own(refs: Sequence[ImageRef], found: Sequence[Pixels | ImageOutcome | SconesError]) -> list[Pixels | ImageOutcome]:
    """Convert possibly system-wide errors to outcomes, or raise them if no image of the batch succeeded.

    For a single image the cause is unknown; throttling is still retried.
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
    from concurrent.futures import ThreadPoolExecutor  # rarely needed in Lambda

    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(attempt, refs))
