"""What a classifier's endpoint answers for one image, in every form that containers on SageMaker use.

==========================================================  ========================================================
answer                                                      of
==========================================================  ========================================================
``[0.9, 0.1]``, ``[[0.9, 0.1]]``                            Image Classification, PyTorch, scikit-learn; ours
``0.9,0.1``                                                 whatever is asked for text/csv
NPY of float32 or float64, (K,) or (1, K)                   PyTorch and scikit-learn, asked by SageMaker's own SDK
``{"prediction": [0.9, 0.1]}``                              Image Classification in batch transform, one a line
``{"predictions": [[0.9, 0.1]]}``, ``{"outputs": ...}``     TensorFlow Serving, one output
``{"predictions": [{"probabilities": [0.9, 0.1]}]}``        TensorFlow Serving, several outputs; ``score``: SageMaker's
``{"outputs": [{"datatype": "FP32", "data": [0.9, 0.1]}]}`` Triton
``{"probabilities": [0.9, 0.1], "labels": ["a", "b"]}``     Image Classification - TensorFlow, JumpStart
``[{"label": "a", "score": 0.9}, {"label": "b", ...}]``     Hugging Face, also within another list
``{"results": [[["a", 0.9], ["b", 0.1]]]}``                 TensorFlow Serving, classify
``{"a": 0.9, "b": 0.1}``                                    TorchServe
==========================================================  ========================================================

The last four name the classes, in an order of their own: they are put into the model's. Numbers (``"0"``, ``"1"``,
``"LABEL_0"``) stand for places in it.

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
"""How far from 1 probabilities may add up: float32 softmax, and those that travelled as short decimals."""

_ENVELOPES = ("prediction", "predictions", "outputs", "results", "result")
_VECTORS = ("probabilities", "scores", "score")
_NAMES = ("labels", "classes")
_NPY = b"\x93NUMPY"
# Compiled where they are used: most endpoints answer with a plain list, and a function starts the sooner.
_NPY_HEADER = rb"\{'descr': '<f([48])', 'fortran_order': (?:False|True), 'shape': \((?:1, )?(\d{1,9}),?\), \}\s*"
_DECIMAL = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
_PLACE = r"(?:LABEL_)?(0|[1-9][0-9]{0,5})"


class OtherClassesError(ValueError):
    """The answer is of other classes than those that were asked for."""


class _Scores(NamedTuple):
    """Numbers, and the classes that they are of.

    Attributes:
        numbers: whatever stood for them.
        names: classes in the same order; None where they are the model's.
        sorted_by_score: whether the order of the names says nothing of the model's.
    """

    numbers: tuple[object, ...]
    names: tuple[object, ...] | None = None
    sorted_by_score: bool = False


def read_probabilities(answer: bytes, labels: Sequence[str] | None = None) -> tuple[float, ...]:
    """The probabilities of the one image that was asked about.

    Args:
        answer: as it came over the wire.
        labels: class names in the order that is wanted; None where they are not known: an answer that names its
            classes in an order of its own cannot be read then.

    Returns:
        Two or more numbers that are not negative and add up to 1 within `SUM_TOLERANCE`.

    Raises:
        OtherClassesError: the answer is of other classes.
        ValueError: the answer is in no form that is known or of several images, or its numbers are no probabilities.
            Each message goes on after "the answer".
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
    not_finite = b"NaN" in answer or b"Infinity" in answer  # what Python writes where a model's numbers are none
    return "is not a probability vector" if not_finite else "cannot be read as JSON"


def _csv(answer: bytes) -> list[object]:
    import csv  # a Lambda's endpoint answers in JSON

    try:
        text = io.StringIO(answer.decode("utf-8-sig"), newline="")
        rows = [row for row in csv.reader(text, skipinitialspace=True) if row]
    except (ValueError, csv.Error) as exc:
        raise ValueError("is neither JSON nor CSV") from exc
    if len(rows) != 1 or not all(re.fullmatch(_DECIMAL, cell) for cell in rows[0]):
        raise ValueError("is not a list of numbers")
    return [float(cell) for cell in rows[0]]


def _npy(answer: bytes) -> list[object]:
    wide = answer[6:7] > b"\x01"  # later versions have a longer header, and say its length in four bytes
    start = 12 if wide else 10
    end = start + int.from_bytes(answer[8:start], "little")
    header = re.fullmatch(_NPY_HEADER, answer[start:end])
    data = answer[end:]
    if header is None or len(data) != int(header[1]) * int(header[2]):
        raise ValueError("is not an array of one row of float32 or float64")
    return list(struct.unpack(f"<{int(header[2])}{'f' if header[1] == b'4' else 'd'}", data))


def _scores(value: object) -> _Scores:
    """Take envelopes off until numbers are there; depth is bounded by the reader of JSON."""
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
        return _scores(only)  # TensorFlow's own name of the output
    return _pairs(value.items())


def _flat(names: object) -> tuple[object, ...]:
    """The names of one image; TensorFlow has a list of them for each."""
    while isinstance(names, list) and len(names) == 1 and isinstance(names[0], list):
        names = names[0]
    return tuple(names) if isinstance(names, list) else ()


def _pairs(pairs: Iterable[tuple[object, object]]) -> _Scores:
    names, numbers = zip(*pairs, strict=True)
    return _Scores(numbers, names, sorted_by_score=True)


def _numbers(values: Sequence[object]) -> tuple[float, ...]:
    if not all(type(value) in (int, float) for value in values):  # a bool is an int, and no number here
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
        raise ValueError("names its classes, whose order is not known")
    return numbers


def _by_place(by_name: Mapping[str, float]) -> tuple[float, ...] | None:
    """The numbers in the order of their names, where those are all the places from 0 on."""
    found = {int(place[1]): number for name, number in by_name.items() if (place := re.fullmatch(_PLACE, name))}
    return tuple(found[place] for place in range(len(found))) if found.keys() == set(range(len(by_name))) else None
