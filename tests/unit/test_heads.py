"""Heads: which images are alike by their features, and a model taken apart into backbone and head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.backbones import efficientnet_lite0
from scones_ml.backbones.inside import taken_apart
from scones_ml.heads import neighbours
from scones_ml.heads.neighbours import nearest, similar_pairs
from scones_ml.inference.graph_writer import GraphWriter
from scones_ml.inference.session import open_session


@dataclass(frozen=True)
class Vectors:
    values: np.ndarray

    @property
    def size(self) -> int:
        return self.values.shape[1]

    def take(self, which: np.ndarray) -> np.ndarray:
        return self.values[which]


def drawn(count: int, seed: int) -> tuple[Vectors, np.ndarray]:
    values = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return Vectors(values), unit @ unit.T


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_pairs_are_those_of_comparing_all(count: int, at_a_time: int, seed: int) -> None:
    """Whatever the size of a block, the similar pairs are those of the whole matrix of cosines, each once."""
    rows, cosines = drawn(count, seed)
    expected = {(i, j) for i in range(count) for j in range(i + 1, count) if cosines[i, j] >= 0.4}
    before, neighbours._AT_A_TIME = neighbours._AT_A_TIME, at_a_time  # type: ignore[misc]
    try:
        found = [(int(i), int(j)) for a, b, _ in similar_pairs(rows, count, 0.4) for i, j in zip(a, b, strict=True)]
    finally:
        neighbours._AT_A_TIME = before  # type: ignore[misc]
    assert len(found) == len(set(found))
    assert all(abs(cosines[pair] - 0.4) < 1e-5 for pair in expected ^ set(found))


def test_the_nearest_come_first() -> None:
    """The nearest among some images are the most similar ones, in order, and no more than there are."""
    rows, cosines = drawn(30, 1)
    among = np.arange(10, 30)
    found, similarity = nearest(rows, np.array([0, 3]), among, 3)
    for row, names, values in zip((0, 3), found, similarity, strict=True):
        assert names.tolist() == among[np.argsort(-cosines[row, among])[:3]].tolist()
        np.testing.assert_allclose(values, cosines[row, names], rtol=1e-5)
    assert nearest(rows, np.array([0]), among[:2], 3)[0].shape == (1, 2)


def test_a_model_is_taken_apart_to_the_byte() -> None:
    """The backbone of a model is the one that it was made of, by its sha256, and head after backbone is the model."""
    backbone = efficientnet_lite0(128)
    weight = np.random.default_rng(0).normal(size=(backbone.features, 3)).astype(np.float32)
    writer = GraphWriter.after(backbone.graph)
    writer.add("Softmax", writer.add("MatMul", "features", writer.half(weight)), output="probabilities", axis=1)
    model = writer.serialise("probabilities", 3)
    parts = taken_apart(model, "efficientnet-lite0")
    assert parts is not None
    found, head = parts
    assert (found.sha256, found.features, found.input_size) == (backbone.sha256, backbone.features, 128)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 128, 128, 3), np.uint8)
    (whole,) = open_session(model, "model.onnx", "").run(None, {"image": pixels})
    (vectors,) = open_session(found.graph, "backbone", "").run(None, {"image": pixels})
    (answer,) = open_session(head, "head", "").run(None, {"features": vectors})
    np.testing.assert_allclose(answer, whole, atol=1e-6)


def test_a_network_without_backbone_is_left_whole() -> None:
    """A graph without features has no backbone to take out."""
    writer = GraphWriter("image", 2, (8, 8, 3))
    mean = writer.add("ReduceMean", writer.add("Cast", "image", to=1), writer.constant(np.array([1, 2])), keepdims=0)
    writer.add("Softmax", mean, output="probabilities", axis=1)
    assert taken_apart(writer.serialise("probabilities", 3), "none") is None
