"""Port of the classifier."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Classifier"]


class Classifier(Protocol):
    """Computes calibrated probabilities for an image."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        ...

    @property
    def model(self) -> str:
        """Identity of the model, recorded with each prediction: its graph's ``"sha256:..."`` or ``"endpoint:NAME"``."""
        ...

    def predict(self, image: bytes, *, image_id: str) -> tuple[float, ...]:
        """Classify one encoded image.

        Args:
            image: a PNG or JPEG file's bytes.
            image_id: sent with the request, so that its capture can be joined to the object.

        Returns:
            One number per label, unchecked; ``steps.classify_image_data`` checks that they are probabilities.

        Raises:
            TransientServiceError: throttled, timed out or not ready.
            InferenceError: the answer is not a list of numbers.
        """
        ...
