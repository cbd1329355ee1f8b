"""Measurement of a model's time per image on this machine."""

from __future__ import annotations

import io
import statistics
import time

from scones_ml.inference.model import OnnxClassifier

__all__ = ["milliseconds_per_image", "warm_up"]

_ROUNDS, _WARM_ROUNDS = 15, 3


def milliseconds_per_image(model: OnnxClassifier) -> float:
    """CPU milliseconds to decode and classify one image of the model's size, as the median of several rounds.

    CPU time is hardly affected by other work on the machine. The image is noise, the slowest to decode.
    """
    image = _noise(model.card.input_size)
    model.predict(image)  # the first prediction takes longer
    return statistics.median(_milliseconds(model, image) for _ in range(_ROUNDS))


def warm_up(model: OnnxClassifier) -> float:
    """Classify an image a few times, since the first takes longer; returns the CPU seconds of the fastest.

    Raises:
        InferenceError: the model cannot be run.
    """
    image = _noise(model.card.input_size)
    return min(_seconds(model, image) for _ in range(_WARM_ROUNDS))


def _seconds(model: OnnxClassifier, image: bytes) -> float:
    started = time.thread_time()
    model.predict(image)
    return time.thread_time() - started


def _milliseconds(model: OnnxClassifier, image: bytes) -> float:
    started = time.process_time()
    model.predict(image)
    return (time.process_time() - started) * 1000


def _noise(side: int) -> bytes:
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
