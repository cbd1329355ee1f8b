"""What endpoints answer: every form that containers use, and nothing that is no probability."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.answers import read_probabilities

LABELS = ("bicycle", "motorcycle", "van")
VECTOR = (0.125, 0.75, 0.125)
BY_SCORE = [("motorcycle", 0.75), ("van", 0.125), ("bicycle", 0.125)]


def npy(values: object, kind: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, kind))
    return buffer.getvalue()


def hugging_face(prefix: str = "", names: Sequence[str] = LABELS) -> list[dict[str, object]]:
    scores = zip(names, VECTOR, strict=True)
    return [{"label": f"{prefix}{name}", "score": score} for name, score in sorted(scores, key=lambda pair: -pair[1])]


IN_THE_MODELS_ORDER = {
    "list": [*VECTOR],
    "batch of one": [[*VECTOR]],
    "Image Classification, batch transform": {"prediction": [*VECTOR]},
    "TensorFlow Serving": {"predictions": [[*VECTOR]]},
    "TensorFlow Serving, several outputs": {"predictions": [{"probabilities": [*VECTOR], "class_ids": [1]}]},
    "TensorFlow Serving, an output of its own name": {"predictions": [{"dense_1": [*VECTOR]}]},
    "TensorFlow Serving, columns": {"outputs": {"probabilities": [[*VECTOR]], "class_ids": [[1]]}},
    "TensorFlow Serving, one column": {"outputs": [[*VECTOR]]},
    "Linear Learner, XGBoost": {"predictions": [{"score": [*VECTOR], "predicted_label": 1}]},
    "JumpStart": {"probabilities": [*VECTOR]},
    "Triton": {
        "model_name": "m",
        "outputs": [{"name": "softmax", "datatype": "FP32", "shape": [1, 3], "data": [*VECTOR]}],
    },
    "places of TorchServe": {"1": 0.75, "0": 0.125, "2": 0.125},
    "places of Hugging Face": hugging_face("LABEL_", ("0", "1", "2")),
}
NAMED = {
    "Hugging Face": hugging_face(),
    "Hugging Face, nested": [hugging_face()],
    "TorchServe": dict(BY_SCORE),
    "TorchServe, batch of one": [dict(BY_SCORE)],
    "TensorFlow Serving, classify": {"results": [[[*pair] for pair in BY_SCORE]]},
    "probabilities by class": {"probabilities": dict(BY_SCORE), "predicted_label": "motorcycle"},
    "zero-shot": {"labels": [name for name, _ in BY_SCORE], "scores": [score for _, score in BY_SCORE]},
    "columns": {"outputs": {"scores": [[s for _, s in BY_SCORE]], "classes": [[name for name, _ in BY_SCORE]]}},
}


@pytest.mark.parametrize("answer", IN_THE_MODELS_ORDER.values(), ids=IN_THE_MODELS_ORDER)
def test_answers_in_the_models_order_are_read(answer: object) -> None:
    """Vectors are read as they stand, whatever is around them, with the classes known or not."""
    data = json.dumps(answer).encode()
    assert read_probabilities(data) == VECTOR
    assert read_probabilities(b"\xef\xbb\xbf" + data + b"\r\n", LABELS) == VECTOR


@pytest.mark.parametrize("answer", NAMED.values(), ids=NAMED)
def test_answers_that_name_their_classes_are_put_in_order(answer: object) -> None:
    """Numbers follow the labels that are asked for, in whatever order the answer has them."""
    data = json.dumps(answer).encode()
    assert read_probabilities(data, LABELS) == VECTOR
    assert read_probabilities(data, LABELS[::-1]) == VECTOR[::-1]
    with pytest.raises(ValueError, match="names other classes"):
        read_probabilities(data, ("bicycle", "motorcycle", "tram"))
    with pytest.raises(ValueError, match="names other classes"):
        read_probabilities(data, LABELS[:2])


def test_without_labels_an_order_by_score_is_none() -> None:
    """Names whose order changes from answer to answer are not read without labels; a fixed order is."""
    with pytest.raises(ValueError, match="order of classes is unknown"):
        read_probabilities(json.dumps(hugging_face()).encode())
    verbose = {"probabilities": [*VECTOR], "labels": [*LABELS], "predicted_label": "motorcycle"}
    assert read_probabilities(json.dumps(verbose).encode()) == VECTOR


@pytest.mark.parametrize(
    "answer",
    [
        b"0.125,0.75,0.125",
        b" 0.125 , 0.75,\t0.125 \r\n",
        b'"0.125","0.75","0.125"\n\n',
        b"\xef\xbb\xbf1.25e-1,.75,+0.125",
        npy(VECTOR, "<f4"),
        npy([VECTOR], "<f4"),
        npy([VECTOR], "<f8"),
    ],
)
def test_csv_and_arrays_are_read(answer: bytes) -> None:
    """A row of CSV, with blanks, quotes or line ends, and numpy's own format give the same numbers."""
    assert read_probabilities(answer) == VECTOR


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "is not a list of numbers"),
        (b"[]", "is not a list of numbers"),
        (b"{}", "is not a list of numbers"),
        (b"bicycle", "is not a list of numbers"),
        (b"0.5,0.5\n0.5,0.5\n", "is not a list of numbers"),
        (b"0_0.5,0.5", "is not a list of numbers"),
        ("\u0660.5,0.5".encode(), "is not a list of numbers"),
        (b"nan,1", "is not a list of numbers"),
        (b"1e999,0", "is not a probability vector"),
        (b"\xff\xfe\x00", "is neither JSON nor CSV"),
        (b"[true, false]", "is not a list of numbers"),
        (b'["0.5", "0.5"]', "is not a list of numbers"),
        (b"[0.5, null]", "is not a list of numbers"),
        (b"[2.5, -1.5]", "is not a probability vector"),
        (b"[4.2, -1.3]", "is not a probability vector"),
        (b"[75, 25]", "is not a probability vector"),
        (b"[1]", "is not a probability vector"),
        (b"[NaN, 1.0]", "is not a probability vector"),
        (b"[1e999, 0]", "cannot be read as JSON"),
        (b"[" + b"9" * 5_000 + b"]", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b'{"a": "\\ud800"}', "cannot be read as JSON"),
        (b"[0.5, 0.5", "cannot be read as JSON"),
        (b'{"error": "out of memory"}', "is not a list of numbers"),
        (b'{"predictions": []}', "is not a list of numbers"),
        (b'{"predictions": [[0.5, 0.5], [0.5, 0.5]]}', "is for several images"),
        (b'{"prediction": [0.5, 0.5]}\n{"prediction": [0.5, 0.5]}\n', "is for several images"),
        (b'{"predictions": [{"score": 1.0, "predicted_label": 0}]}', "names its classes"),
        (b'[{"label": "a", "score": 0.5}, {"label": "a", "score": 0.5}]', "does not name each class once"),
        (b'{"probabilities": [0.5, 0.5], "labels": ["a"]}', "does not name each class once"),
        (b'[{"label": "a", "score": true}, {"label": "b", "score": 0}]', "is not a list of numbers"),
        (npy([0.5, 0.5], "<f4")[:-1], "is not an array of one row"),
        (npy([[0.5, 0.5], [0.5, 0.5]], "<f4"), "is not an array of one row"),
        (npy([1, 0], "<i8"), "is not an array of one row"),
        (b"\x93NUMPY", "is not an array of one row"),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_what_is_no_probability_vector_says_why(answer: bytes, reason: str) -> None:
    """Logits, texts, booleans, batches and broken answers are refused, each with its reason."""
    with pytest.raises(ValueError, match=reason):
        read_probabilities(answer)


def test_the_number_of_classes_is_the_models() -> None:
    """A vector of another number of classes is refused, and so are places beyond the labels."""
    with pytest.raises(ValueError, match="has 2 classes"):
        read_probabilities(b"[0.5, 0.5]", LABELS)
    with pytest.raises(ValueError, match="has 2 classes"):
        read_probabilities(b'{"1": 0.5, "0": 0.5}', LABELS)
    with pytest.raises(ValueError, match="names other classes"):  # a label, and what is none
        read_probabilities(b'{"1": 0.5, "0": 0.5}', ("1", "2"))


FIELDS = st.sampled_from(["prediction", "predictions", "outputs", "probabilities", "labels", "label", "score", "data"])
ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-2, 2) | st.text(max_size=3) | st.just(1e999),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | st.text(max_size=2), inner, max_size=3),
)


@given(ANY.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40), st.sampled_from([None, LABELS[:2]]))
def test_nothing_but_a_value_error_comes_of_any_answer(answer: bytes, labels: tuple[str, ...] | None) -> None:
    """Whatever an endpoint answers, it is a probability vector or a ValueError."""
    try:
        found = read_probabilities(answer, labels)
    except ValueError:
        return
    assert sum(found) == pytest.approx(1, abs=2e-3)
    assert min(found) >= 0
