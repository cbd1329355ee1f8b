"""What type checkers make of ``import scones_ml``: `mypy` checks this file, nothing runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_type

import scones_ml
from scones_ml.errors import ImageError


def check(model: scones_ml.Model) -> None:
    """Each call has the type that its documentation says, and no image is an int."""
    assert_type(scones_ml.load_model("model"), scones_ml.Model)
    assert_type(model.predict("photo.jpg"), scones_ml.Prediction)
    assert_type(model.predict(b"...").probabilities, Mapping[str, float])
    assert_type(model.predict_many(["a.jpg", b"..."]), Iterator[scones_ml.Prediction])
    assert_type(model.predict_many([], errors="return"), Iterator[scones_ml.Prediction | ImageError])
    assert_type(scones_ml.train(scones_ml.stage("photos", "data")), scones_ml.Model)
    assert_type(scones_ml.evaluate(model, "data"), scones_ml.Evaluation)
    assert_type(scones_ml.run("photos", model)[0], scones_ml.ImageResult)
    model.predict(7)  # type: ignore[arg-type]
    scones_ml.run("photos", on="moon")  # type: ignore[arg-type]
