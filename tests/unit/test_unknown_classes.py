"""What would be let through of a class that was never learned."""

from __future__ import annotations

import numpy as np

from scones_ml.heads.coordinates import Matrix
from scones_ml.heads.unknown import leave_each_class_out


def test_a_class_apart_is_stopped_and_one_between_the_others_passes() -> None:
    """Nothing passes of a class in directions of its own, and most of one that lies where another does."""
    random = np.random.default_rng(0)
    span = random.normal(size=(6, 50))
    places = [(4, 0, 0, 0, 0, 0), (0, 4, 0, 0, 0, 0), (4.2, 0, 0.3, 0, 0, 0)]
    vectors = [np.array(place) @ span + random.normal(size=(80, 6)) * 0.3 @ span + 2 for place in places]
    apart = random.normal(size=(1, 50)) * 9 + random.normal(size=(80, 50)) * 0.3
    rows = Matrix(np.concatenate([*vectors, apart]))
    labels = np.repeat(np.arange(4), 80)
    told: list[tuple[int, int]] = []
    found = leave_each_class_out(rows, labels, np.arange(320) % 5, 4, 0.8, lambda *done: told.append(done))
    assert [left.label for left in found] == [0, 1, 2, 3]
    assert all(left.images == 80 for left in found)
    assert found[3].accepted == 0
    assert found[2].accepted > 40
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_of_many_classes_ten_are_left_out() -> None:
    """Of fourteen classes the ten with most images are left out in turn."""
    random = np.random.default_rng(1)
    counts = np.arange(20, 34)
    labels = np.repeat(np.arange(14), counts)
    rows = Matrix(random.normal(size=(14, 30))[labels] * 3 + random.normal(size=(len(labels), 30)))
    found = leave_each_class_out(rows, labels, np.arange(len(labels)) % 3, 14, 0.9)
    assert [left.label for left in found] == list(range(4, 14))
