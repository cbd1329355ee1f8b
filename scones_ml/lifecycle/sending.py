"""Run files of this machine through the state machine, reading one at a time.

A file that is unreadable or too large gets an outcome, and the run continues. An execution that fails for lack of a
model or a setting ends the run, since all others would fail like it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scones_ml import batches, settings
from scones_ml.bounded import open_regular, size_of
from scones_ml.errors import ConfigurationError, ImageNotFoundError, MissingExtraError, UnreadableImageError
from scones_ml.events import ImageRef
from scones_ml.lifecycle.verbs import run, sending, upload_one
from scones_ml.ports import Backend, Endpoint, ImageResult, refuse_larger

__all__ = ["ImageFile", "run_files", "upload_files"]

_SYSTEM: Final = (ConfigurationError.__name__, MissingExtraError.__name__)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file to send.

    Attributes:
        key: key of the uploaded object; on AWS our prefix is put before it.
        path: path of the file.
    """

    key: str
    path: Path


def run_files(
    backend: Backend,
    files: Iterable[ImageFile],
    classifier: Endpoint | Path | None = None,
    threshold: float | None = None,
) -> Iterator[ImageResult]:
    """Run files through the state machine, each as soon as the one before was sent.

    Args:
        backend: the backend.
        files: the files, consumed lazily.
        classifier: as for :func:`scones_ml.lifecycle.run`.
        threshold: as for :func:`scones_ml.lifecycle.run`.

    Yields:
        One result for each file, as executions end, including files that cannot be sent.

    Raises:
        ConfigurationError: an execution failed for lack of a model or a setting; raised after the results of sent
            files.
    """
    refused: list[ImageResult] = []
    faults: list[ImageResult] = []

    def sent() -> Iterator[ImageRef]:
        with sending(backend):
            for file in files:
                if faults:
                    return
                found = _upload(backend, file)
                if isinstance(found, ImageRef):
                    yield found
                else:
                    refused.append(found)

    for result in run(backend, sent(), classifier, threshold):
        if result.error in _SYSTEM:
            faults.append(result)
        yield from _taken(refused)
        yield result
    yield from _taken(refused)
    if faults:
        raise ConfigurationError(str(faults[0].reason).removeprefix(f"{faults[0].error}: "))


def upload_files(backend: Backend, files: Iterable[ImageFile]) -> tuple[tuple[ImageRef, ...], tuple[ImageResult, ...]]:
    """Upload files to the input bucket, to be run later.

    Returns:
        References to the written objects, and a result for each file that cannot be sent.
    """
    with sending(backend):
        found = [_upload(backend, file) for file in files]
    refs = tuple(one for one in found if isinstance(one, ImageRef))
    return refs, tuple(one for one in found if isinstance(one, ImageResult))


def _upload(backend: Backend, file: ImageFile) -> ImageRef | ImageResult:
    try:
        data = _read(file.path)
    except Exception as exc:  # an error of one file concerns only that file
        ref = ImageRef(s3_bucket=backend.buckets.input, s3_key=f"{backend.buckets.uploads}{file.key}")
        return _unsent(ref, exc)
    return upload_one(backend, file.key, data)


def _read(path: Path) -> bytes:
    """The bytes of a regular file; a file above the size limit is not read."""
    limit = settings.image_policy().max_bytes
    try:
        with open_regular(path) as file:
            refuse_larger(size_of(file), limit)
            return file.read(size_of(file))
    except FileNotFoundError as exc:
        raise ImageNotFoundError("it is gone, or is a broken link") from exc
    except OSError as exc:
        raise UnreadableImageError(f"it cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise UnreadableImageError(f"it {exc}") from exc


def _unsent(ref: ImageRef, error: Exception) -> ImageResult:
    found = batches.unclassified(ref, error)
    return ImageResult(
        image=ref,
        outcome=None if found.outcome == "failed" else found.outcome,
        label=None,
        confidence=None,
        reason=f"{found.error}: {found.reason}" if found.outcome == "failed" else found.reason,
        started=0.0,
        seconds=0.0,
        error=found.error,
    )


def _taken(results: list[ImageResult]) -> Sequence[ImageResult]:
    taken = results[:]
    results.clear()
    return taken
