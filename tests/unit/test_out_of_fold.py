"""The answers out of fold beside a model: written by training, read as a stranger's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.errors import ConfigurationError
from scones_ml.evaluation.unlike import folded
from scones_ml.inference.model import ModelCard
from scones_ml.inference.out_of_fold import OutOfFold, read_out_of_fold, to_answers
from scones_ml.npz import read_arrays, write_arrays

GRAPH = b"a graph, which nothing here loads"


def answers(count: int = 20, classes: int = 3, seed: int = 0) -> OutOfFold:
    random = np.random.default_rng(seed)
    probabilities = folded(random.dirichlet(np.ones(classes), count), np.arange(count) % 7 == 3).astype(np.float32)
    images = tuple(random.bytes(32).hex() for _ in range(count))
    return OutOfFold(images, random.integers(0, classes, count), np.arange(count) % 5, probabilities)


def model(folder: Path, file: bytes | None, graph: bytes = GRAPH, classes: int = 3) -> Path:
    """A folder with what is read of a model."""
    folder.mkdir(exist_ok=True)
    card = ModelCard(
        labels=tuple("abcdefgh"[:classes]), input_size=8, trained_on=("train", "validation", "calibration")
    )
    (folder / "model.json").write_text(card.model_dump_json())
    (folder / "model.onnx").write_bytes(graph)
    if file is not None:
        (folder / "answers.npz").write_bytes(file)
    return folder


@settings(max_examples=30, deadline=None)
@given(count=st.integers(2, 60), classes=st.integers(2, 8), seed=st.integers(0, 1_000))
def test_what_was_kept_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, count: int, classes: int, seed: int
) -> None:
    """Images, labels, folds and float32 probabilities survive bit for bit, unlike ones included."""
    kept = answers(count, classes, seed)
    file = to_answers(kept, GRAPH)
    assert file == to_answers(kept, GRAPH)
    found = read_out_of_fold(model(tmp_path_factory.mktemp("model"), file, classes=classes))
    assert found.images == kept.images
    for name in ("labels", "folds", "probabilities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(kept, name))
    assert found.probabilities.dtype == np.float32


def changed(**arrays: np.ndarray) -> bytes:
    return write_arrays(read_arrays(to_answers(answers(), GRAPH)) | arrays)


BROKEN = {
    "missing": lambda: None,
    "empty": lambda: b"",
    "cut short": lambda: to_answers(answers(), GRAPH)[:-100],
    "another model's": lambda: to_answers(answers(), b"another graph"),
    "other classes": lambda: to_answers(answers(classes=4), GRAPH),
    "no such array": lambda: write_arrays({"probabilities": answers().probabilities}),
    "one fold": lambda: changed(folds=np.zeros(20, np.int64)),
    "a label of no class": lambda: changed(labels=np.full(20, 3)),
    "labels that are words": lambda: changed(labels=np.array(["a"] * 20)),
    "no probabilities": lambda: changed(probabilities=np.full((20, 3), np.nan, np.float32)),
    "fewer images": lambda: changed(images=np.zeros((19, 32), np.uint8)),
    "short digests": lambda: changed(images=np.zeros((20, 16), np.uint8)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_says_to_train_again(tmp_path: Path, name: str) -> None:
    """A file that is missing, broken or another model's ends in one line with the remedy."""
    with pytest.raises(ConfigurationError, match=r"answers\.npz, are missing or another model's: train it again$"):
        read_out_of_fold(model(tmp_path, BROKEN[name]()))


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 4_000), byte=st.integers(0, 255))
def test_a_damaged_file_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    """Whichever byte is another one, nothing but the one line comes of it."""
    file = bytearray(to_answers(answers(), GRAPH))
    file[at % len(file)] = byte
    try:
        found = read_out_of_fold(model(tmp_path_factory.mktemp("model"), bytes(file)))
    except ConfigurationError:
        return
    assert len(found.images) == len(found.labels) == len(found.probabilities) == 20
