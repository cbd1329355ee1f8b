"""Parsing of an endpoint's response for one image, in all forms of SageMaker containers.

==========================================================  ========================================================
response                                                    from
==========================================================  ========================================================
``[0.9, 0.1]``, ``[[0.9, 0.1]]``                            Image Classification, PyTorch, scikit-learn; ours
``0.9,0.1``                                                 any container with Accept: text/csv
NPY of float32 or float64, (K,) or (1, K)                   PyTorch and scikit-learn, called by SageMaker's SDK
``{"prediction": [0.9, 0.1]}``                              Image Classification in batch transform, one per line
``{"predictions": [[0.9, 0.1]]}``, ``{"outputs": ...}``     TensorFlow Serving, one output
``{"predictions": [{"probabilities": [0.9, 0.1]}]}``        TensorFlow Serving, several outputs; ``score``: SageMaker's
``{"outputs": [{"datatype": "FP32", "data": [0.9, 0.1]}]}`` Triton
``{"probabilities": [0.9, 0.1], "labels": ["a", "b"]}``     Image Classification - TensorFlow, JumpStart
``[{"label": "a", "score": 0.9}, {"label": "b", ...}]``     Hugging Face, also within another list
``{"results": [[["a", 0.9], ["b", 0.1]]]}``                 TensorFlow Serving, classify
``{"a": 0.9, "b": 0.1}``                                    TorchServe
==========================================================  ========================================================

The last four contain class names in any order, which is mapped to the model's. Numbers (``"0"``, ``"1"``,
``"LABEL_0"``) are indices into it.

Internal: may change without notice.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from scones_ml import strict_json

__all__ = ["SUM_TOLERANCE", "OtherClassesError", "read_probabilities"]

SUM_TOLERANCE: Final = 1e-3
"""Tolerance of the sum of probabilities, for float32 softmax and short decimals."""

_ENVELOPES = ("prediction", "predictions", "outputs", "results", "result")
_VECTORS = ("probabilities", "scores", "score")
_NAMES = ("labels", "classes")
_NPY = b"\x93NUMPY"
# Compiled on use, for a fast start: most endpoints return a plain list.
_NPY_HEADER = rb"\{'descr': '<f([48])', 'fortran_order': (?:False|True), 'shape': \((?:1, )?(\d{1,9}),?\), \}\s*"
_DECIMAL = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
_PLACE = r"(?:LABEL_)?(0|[1-9][0-9]{0,5})"


class OtherClassesError(ValueError):
    """The response has other classes than expected."""


class _Scores(NamedTuple):
    """Scores with their classes.

    Attributes:
        numbers: unchecked scores.
        names: classes in the same order; None for the model's order.
        sorted_by_score: whether the names are sorted by score, so that their order is not the model's.
    """

    numbers: tuple[object, ...]
    names: tuple[object, ...] | None = None
    sorted_by_score: bool = False


def read_probabilities(answer: bytes, labels: Sequence[str] | None = None) -> tuple[float, ...]:
    """Parse the probabilities of one image.

    Args:
        answer: body of the response.
        labels: class names in the requested order; None if unknown: then a response with class names in its own order
            cannot be read.

    Returns:
        Two or more non-negative numbers whose sum is 1 within `SUM_TOLERANCE`.

    Raises:
        OtherClassesError: the response has other classes.
        ValueError: the response has an unknown form, several images, or invalid probabilities. The message continues
            after "the answer".
    """
    scores = _scores(_document(answer))
    numbers = _numbers(scores.numbers)
    if scores.names is not None:
        numbers = _in_order(scores, numbers, labels)
    if len(numbers) < 2 or min(numbers) < 0 or not abs(sum(numbers) - 1) <= SUM_TOLERANCE:
        raise ValueError("is not a probability vector")
    if labels is not None and len(numbers) != len(labels):
        raise OtherClassesError(f"has {len(numbers)} classes")
    return numbers


def _document(answer: bytes) -> object:
    if answer.startswith(_NPY):
        return _npy(answer)
    start = answer.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start not in (b"[", b"{"):
        return _csv(answer)
    try:
        return strict_json.parse(answer)
    except ValueError as exc:
        raise ValueError(_why_no_json(answer, start)) from exc


def _why_no_json(answer: bytes, start: bytes) -> str:
    rows = [line for line in answer.split(b"\n") if line.strip()]
    if len(rows) > 1 and all(row.lstrip().startswith(start) for row in rows):
        return "is for several images"
    not_finite = b"NaN" in answer or b"Infinity" in answer  # Python's JSON for non-finite numbers
    return "is not a probability vector" if not_finite else "cannot be read as JSON"


def _csv(answer: bytes) -> list[object]:
    import csv  # rarely needed: most endpoints return JSON

    try:
        text = io.StringIO(answer.decode("utf-8-sig"), newline="")
        rows = [row for row in csv.reader(text, skipinitialspace=True) if row]
    except (ValueError, csv.Error) as exc:
        raise ValueError("is neither JSON nor CSV") from exc
    if len(rows) != 1 or not all(re.fullmatch(_DECIMAL, cell) for cell in rows[0]):
        raise ValueError("is not a list of numbers")
    return [float(cell) for cell in rows[0]]


def _npy(answer: bytes) -> list[object]:
    wide = answer[6:7] > b"\x01"  # later versions have a four-byte header length
    start = 12 if wide else 10
    end = start + int.from_bytes(answer[8:start], "little")
    header = re.fullmatch(_NPY_HEADER, answer[start:end])
    data = answer[end:]
    if header is None or len(data) != int(header[1]) * int(header[2]):
        raise ValueError("is not an array of one row of float32 or float64")
    return list(struct.unpack(f"<{int(header[2])}{'f' if header[1] == b'4' else 'd'}", data))


def _scores(value: object) -> _Scores:
    """Unwrap envelopes down to the numbers; the JSON parser bounds the depth."""
    if isinstance(value, list) and value:
        return _scores_of_list(value)
    if isinstance(value, dict) and value:
        return _scores_of_object(value)
    raise ValueError("is not a list of numbers")


def _scores_of_list(value: list[object]) -> _Scores:
    if all(isinstance(item, dict) and "label" in item and "score" in item for item in value):
        return _pairs((item["label"], item["score"]) for item in value if isinstance(item, dict))
    if all(isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in value):
        return _pairs((item[0], item[1]) for item in value if isinstance(item, list))
    if not any(isinstance(item, list | dict) for item in value):
        return _Scores(tuple(value))
    if len(value) > 1:
        raise ValueError("is for several images")
    return _scores(value[0])


def _scores_of_object(value: Mapping[str, object]) -> _Scores:
    for field in _ENVELOPES:
        if field in value:
            return _scores(value[field])
    if str(value.get("datatype", "")).startswith("FP") and "data" in value:
        return _scores(value["data"])
    for field in _VECTORS:
        if isinstance(value.get(field), list | dict):
            scores = _scores(value[field])
            names = next((_flat(value[name]) for name in _NAMES if isinstance(value.get(name), list)), None)
            return scores if names is None else _Scores(scores.numbers, names)
    if "label" in value and "score" in value:
        return _pairs([(value["label"], value["score"])])
    if len(value) == 1 and isinstance(only := next(iter(value.values())), list | dict):
        return _scores(only)  # TensorFlow's name of the output
    return _pairs(value.items())


def _flat(names: object) -> tuple[object, ...]:
    """Names for one image; TensorFlow has a list for each."""
    while isinstance(names, list) and len(names) == 1 and isinstance(names[0], list):
        names = names[0]
    return tuple(names) if isinstance(names, list) else ()


def _pairs(pairs: Iterable[tuple[object, object]]) -> _Scores:
    names, numbers = zip(*pairs, strict=True)
    return _Scores(numbers, names, sorted_by_score=True)


def _numbers(values: Sequence[object]) -> tuple[float, ...]:
    if not all(type(value) in (int, float) for value in values):  # bool is a subclass of int
        raise ValueError("is not a list of numbers")
    numbers = tuple(float(value) for value in values if isinstance(value, int | float))
    if not all(map(math.isfinite, numbers)):
        raise ValueError("is not a probability vector")
    return numbers


def _in_order(scores: _Scores, numbers: tuple[float, ...], labels: Sequence[str] | None) -> tuple[float, ...]:
    names = [str(name) for name in scores.names or ()]
    by_name = dict(zip(names, numbers, strict=False))
    if not len(by_name) == len(names) == len(numbers):
        raise ValueError("does not name each class once")
    if labels is not None and by_name.keys() == set(labels):
        return tuple(by_name[label] for label in labels)
    if by_name.keys().isdisjoint(labels or ()) and (by_place := _by_place(by_name)):
        return by_place
    if labels is not None:
        raise OtherClassesError("names other classes")
    if scores.sorted_by_score:
        raise ValueError("names its classes, but the model's order of classes is unknown")
    return numbers


def _by_place(by_name: Mapping[str, float]) -> tuple[float, ...] | None:
    """Numbers in the order of their names, if the names are all indices from 0."""
    found = {int(place[1]): number for name, number in by_name.items() if (place := re.fullmatch(_PLACE, name))}
    return tuple(found[place] for place in range(len(found))) if found.keys() == set(range(len(by_name))) else None
