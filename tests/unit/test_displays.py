"""Results as terminals and notebooks show them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.captures import Capture, Payload
from scones_ml.evaluation import Evaluation, evaluate
from scones_ml.monitoring import Monitoring, MonitorRequest, monitor
from scones_ml.plans import Change, Plan

HOSTILE = '<script>alert(1)</script>"\x1b[2J\n&'
LONG = "&" * 5_000


def staged(
    folder: Path, classes: tuple[str, ...] = ("bicycle", "motorcycle"), side: int = 20, count: int = 30
) -> dataset.StageResult:
    """A data set of noise, which no format makes smaller; one file is no image."""
    random = np.random.default_rng(0)
    for name in classes:
        (folder / "source" / name).mkdir(parents=True)
        for number in range(count):
            noise = Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
            noise.save(folder / "source" / name / f"{number}.png")
    (folder / "source" / classes[0] / "broken.png").write_text("no image")
    return dataset.stage(folder / "source", folder / "data", image_size=side)


def evaluated(classes: tuple[str, ...], threshold: float | None = 0.9) -> Evaluation:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.full(len(classes), 0.1), 200)
    return evaluate(probabilities, probabilities.argmax(axis=1), classes, threshold)


def monitored(labels: tuple[str, ...], count: int = 700) -> Monitoring:
    start = datetime(2026, 11, 23, tzinfo=UTC)
    random = np.random.default_rng(0)
    answers = random.dirichlet(np.full(len(labels), 0.2), count).tolist()
    image = Payload("image/png", b"")
    rows = [
        Capture(str(n), start + timedelta(minutes=n), image, Payload("application/json", json.dumps(answer).encode()))
        for n, answer in enumerate(answers)
    ]
    return monitor(rows, MonitorRequest(labels=labels, threshold=0.9))


def planned(name: str, count: int = 2) -> Plan:
    change = Change("create", "endpoint", name, "answers requests", "sagemaker:CreateEndpoint", 0.115)
    return Plan("deploy", "aws:us-east-1", (change,) * count)


def html(shown: object) -> str:
    text: str = shown._repr_html_()  # type: ignore[attr-defined]
    return text


def test_a_data_set_prints_its_counts(tmp_path: Path) -> None:
    """A line on the whole, the images of each class and split in columns, and what was left out; one line as repr."""
    result = staged(tmp_path)
    lines = str(result).splitlines()
    assert lines[0].startswith("60 images of 2 classes in ")
    assert lines[1:4] == [
        "class        train   validation   calibration   test",
        "bicycle         20            2             2      6",
        "motorcycle      20            2             2      6",
    ]
    assert lines[4].startswith("left out: 1 image, bicycle/broken.png first: ")
    assert re.fullmatch(
        r"Dataset\('.*data', classes=\('bicycle', 'motorcycle'\), images=60, image_size=20\)", repr(result.dataset)
    )


def test_a_data_set_shows_images_of_its_training_split(tmp_path: Path) -> None:
    """A notebook shows twelve of each class, by their labels; none of another split, and a lost file is a gap."""
    data = staged(tmp_path).dataset
    text = html(data)
    assert text.count("<figcaption>bicycle</figcaption>") == text.count("<figcaption>motorcycle</figcaption>") == 12
    for record in data.records:
        if record.split != "train":
            (data.root / record.path).unlink()
    assert html(data) == text
    (data.root / data.split("train")[0].path).unlink()
    assert html(data).count('<span class="none">') == 1


def test_an_evaluation_prints_what_decides() -> None:
    """The headline, then accuracy, coverage and precision with their intervals in columns."""
    assert str(evaluated(("bicycle", "motorcycle"))).splitlines() == [
        "82 of 100 images pass on their own, and every answer among them was right.",
        "accuracy    100.0%   98.2% to 100.0%   of 200 images",
        "coverage     82.0%   76.0% to 87.1%    accepted at threshold 0.9",
        "precision   100.0%   97.8% to 100.0%   of the accepted are right",
    ]
    assert str(evaluated(("a", "b"), None)).startswith("No image passes on its own: there is no threshold.\n")
    assert repr(evaluated(("a", "b"))).startswith("Evaluation(images=200, accuracy=1.000 [0.982, 1.000], threshold=0.9")


def test_captures_show_their_scatter_plot() -> None:
    """A notebook shows each answer's confidence over time, with the threshold."""
    found = monitored(("bicycle", "motorcycle"))
    assert str(found).startswith("700 predictions from 2026-11-23 00:00 to 2026-11-23 11:39 UTC\n")
    assert str(replace(found, last=found.first)).startswith("700 predictions at 2026-11-23 00:00 UTC\n")
    assert html(found).count('<circle class="right"') > 100
    assert 'class="threshold"' in html(found)


def test_a_plan_prints_its_changes() -> None:
    """Each change with its price and the permission it takes; on this machine without either."""
    assert str(planned("scones", 1)).splitlines() == [
        "deploy on aws:us-east-1: 1 change",
        "change   what       name     an hour   permission                 why",
        "create   endpoint   scones    $0.115   sagemaker:CreateEndpoint   answers requests",
    ]
    assert "permission" not in str(Plan("stage", "local", planned("a").changes))
    assert str(Plan("cleanup", "local", ())) == "cleanup on local: nothing to do"
    partial = str(Plan("cleanup", "local", (), "no access"))
    assert partial.endswith("\nexisting resources could not be inspected: no access")


@pytest.mark.parametrize("name", [HOSTILE, LONG], ids=["hostile", "long"])
@pytest.mark.parametrize(
    "make",
    [
        lambda name: evaluated(tuple(f"{number}{name}" for number in range(60))),
        lambda name: monitored(tuple(f"{number}{name}" for number in range(60))),
        lambda name: planned(name, 3_000),
    ],
    ids=["evaluation", "captures", "plan"],
)
def test_whatever_is_shown_is_bounded_and_text(make: Callable[[str], object], name: str) -> None:
    """Names that strangers chose are never markup, and however many and long they are, 200 KB are not reached."""
    text = html(make(name))
    assert len(text.encode()) < 200_000
    assert "<script" not in text
    assert "\x1b" not in text + str(make(name))
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)


def test_large_photographs_of_many_classes_are_bounded(tmp_path: Path) -> None:
    """Of 20 classes with names like markup, noise of 96 pixels: 200 KB are not reached, and names are text."""
    text = html(staged(tmp_path, tuple(f"{number}<script>&amp;" for number in range(20)), 96, 8))
    assert 20_000 < len(text.encode()) < 200_000
    assert "<script" not in text
    assert "and 8 more classes" in text
