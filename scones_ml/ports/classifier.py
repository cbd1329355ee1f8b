"""The classifier."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Classifier"]


class Classifier(Protocol):
    """Turns an image into calibrated probabilities."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        ...

    @property
    def model(self) -> str:
        """Which model answers: ``"sha256:..."`` of its graph, or ``"endpoint:NAME"``; every answer says it."""
        ...

    def predict(self, image: bytes, *, image_id: str) -> tuple[float, ...]:
        """Classify one encoded image.

        Args:
            image: a PNG or JPEG file's bytes.
            image_id: travels with the request, so that its capture can be joined to the object.

        Returns:
            One number per label, as the model said it; ``steps.classify_image_data`` checks that they are
            probabilities.

        Raises:
            TransientServiceError: throttled, timed out or not ready.
            InferenceError: the answer is not a list of numbers.
        """
        ...
