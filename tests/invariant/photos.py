"""The four images of all scenarios, and a classifier that knows them by their pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final

from PIL import Image

from scones_ml import images, steps
from scones_ml.settings import ImagePolicy

THRESHOLDS: Final = (0.9, 0.5)
"""Of the deployed model, and of another one that somebody tries: "doubtful" then passes."""


def _png(red: int) -> bytes:
    held = BytesIO()
    Image.new("RGB", (4, 4), (red, 0, 0)).save(held, "PNG")
    return held.getvalue()


POLICY = ImagePolicy(image_size=4)
CONTENTS: Final[Mapping[str, bytes]] = MappingProxyType(
    {"confident": _png(250), "doubtful": _png(100), "large": _png(200), "broken": b"\x89PNG\r\n\x1a\n, and no more"}
)
"""What is uploaded, by the label that it gets; "large" does not fit into a state, "broken" is quarantined."""
LABELS: Final = ("confident", "doubtful", "large")
_NORMALISED: Final = {images.normalise(CONTENTS[label], POLICY).png: label for label in LABELS}
_CONFIDENCE: Final = {"confident": 0.98, "doubtful": 0.6, "large": 0.94}


def place_of(content: str, threshold: float) -> str:
    """Where an image belongs."""
    if content == "broken":
        return "quarantined"
    return "accepted" if _CONFIDENCE[content] >= threshold else "review"


serialized = lru_cache(maxsize=256)(steps.serialize_image_data)  # decoding would be a fifth of the time


@lru_cache(maxsize=16)
def normalised(data: bytes, policy: ImagePolicy) -> bytes:
    return images.normalise(data, policy).png


class Classifier:
    """Answers as the images deserve; each question is a call.

    Args:
        call: makes one call of an operation on an image.
    """

    labels = LABELS
    model = "endpoint:world"

    def __init__(self, call: Callable[[str, str, Callable[[], Any]], Any]) -> None:
        self._call = call

    def prepare(self, data: bytes, policy: ImagePolicy) -> bytes:
        return normalised(data, policy)

    def predict_many(self, images: Sequence[bytes], image_ids: Sequence[str]) -> list[tuple[float, ...]]:
        return [self.predict(image, image_id=name) for image, name in zip(images, image_ids, strict=True)]

    def predict(self, image: bytes, *, image_id: str) -> tuple[float, ...]:
        return self._call("InvokeEndpoint", image_id, lambda: self._probabilities(image))

    def _probabilities(self, image: bytes) -> tuple[float, ...]:
        label = _NORMALISED.get(image, "doubtful")  # a blank one, by which a batch tells whether the model answers
        rest = (1 - _CONFIDENCE[label]) / 2
        return tuple(_CONFIDENCE[label] if name == label else rest for name in LABELS)
