"""Entry points for AWS's inference containers, in every model package as ``code/inference.py``.

The functions and their arguments are those of AWS's ``sagemaker-inference`` toolkit, on which its containers for
PyTorch, scikit-learn and others are built.
"""

from __future__ import annotations

import json

from scones_ml.errors import ImageError, ImageTooLargeError
from scones_ml.inference.model import OnnxClassifier, load_classifier

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]

_CONTENT_TYPES = ("image/png", "image/jpeg", "application/x-image")


def model_fn(model_dir: str) -> OnnxClassifier:
    """Load the model from the folder that the package was unpacked into."""
    return load_classifier(model_dir)


def input_fn(body: bytes, content_type: str) -> bytes:
    """Accept an encoded image; its first bytes decide the format."""
    if content_type.partition(";")[0].strip() not in _CONTENT_TYPES:
        raise _refusal(415, f"content type {content_type!r} is not one of {', '.join(_CONTENT_TYPES)}")
    return bytes(body)


def predict_fn(image: bytes, model: OnnxClassifier) -> tuple[float, ...]:
    """Classify the image; an invalid image is a client error (4XX), not the container's."""
    try:
        return model.predict(image)
    except ImageError as exc:
        raise _refusal(413 if isinstance(exc, ImageTooLargeError) else 400, str(exc)) from exc


def output_fn(probabilities: tuple[float, ...], accept: str) -> tuple[str, str]:  # noqa: ARG001 - there is only one format
    """A JSON list of probabilities, and its content type."""
    return json.dumps(probabilities), "application/json"


def _refusal(status: int, message: str) -> Exception:
    """The toolkit's own error: any other becomes status 500."""
    from sagemaker_inference.errors import BaseInferenceToolkitError

    return BaseInferenceToolkitError(status, message, message)  # type: ignore[no-any-return] # the toolkit has no types
