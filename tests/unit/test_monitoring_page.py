"""The monitoring page: complete in itself, safe from what strangers wrote, right in a browser."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scones_ml.captures import Capture, Payload, Skipped
from scones_ml.dataset.synthetic import draw_png
from scones_ml.events import ImageRef
from scones_ml.monitoring import MonitorRequest, Reference, make_reference, monitor
from scones_ml.monitoring.page import ReferenceImage, render_page

HOSTILE = 'in/"><script>alert(1)</script>{{ 7 * 7 }}.png'
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """A small calibration split."""
    sure = np.random.default_rng(1).uniform(0.7, 0.99, 60)
    images = [draw_png("bicycle", 1, n) for n in range(60)]
    return make_reference(
        np.stack((sure, 1 - sure), axis=1), np.zeros(60, np.int64), ("bicycle", "motorcycle"), images, image_size=32
    )


@functools.cache
def make_image(number: int) -> bytes:
    """One of many images like the reference's."""
    return draw_png("bicycle", 3, number)


def page(
    reference: Reference | None,
    *,
    count: int = 400,
    lower: float = 0.0,
    threshold: float | None = 0.9,
    then: Sequence[ReferenceImage] = (),
    none_of_these: Mapping[str, bool] | None = None,
) -> str:
    """A week's stream, whose confidence drops in its second half."""
    generator = np.random.default_rng(2)
    ref = ImageRef(s3_bucket="b", s3_key=HOSTILE, etag="e")
    rows: list[Capture | Skipped] = [Skipped(3, "<b>cut off</b>", "a.jsonl")]
    for n in range(count):
        sure = float(generator.uniform(0.7, 0.99)) - (lower if n > count / 2 else 0.0)
        rows.append(
            Capture(
                str(n),
                NOW - timedelta(days=7 * (1 - n / count)),
                Payload("image/png", make_image(n // 2) if n % 2 else b"no image"),
                Payload("application/json", json.dumps([sure, 1 - sure]).encode()),
                ref.image_id,
                ("latency_ms=20",),
            )
        )
    request = MonitorRequest(
        labels=("bicycle", "motorcycle"),
        threshold=threshold,
        reference=reference,
        objects={ref.image_id: ref},
        none_of_these=none_of_these,
    )
    return render_page(monitor(rows, request), NOW, then)


def test_the_answer_comes_first(reference: Reference) -> None:
    """The heading names what has changed, or says that there is no alarm, or how many images go to review."""
    assert re.search(r"<h1>Drift: confidence\b.* changed\.</h1>", page(reference, lower=0.2))
    assert "<h1>No alarm: " in page(reference)
    assert "<h1>About" in page(None)
    assert "half of them with a confidence of at least" in page(None, threshold=None)


def test_drift_is_shown_by_images_of_then_and_now(reference: Reference) -> None:
    """Beside an alarm are five images of the data set and five recent ones; without an alarm there are none."""
    then = [ReferenceImage(f"train/{n}.png", "bicycle", draw_png("bicycle", 1, n, 600)) for n in range(5)]
    five = re.compile(r'<ul class="images five">(.*?)</ul>', re.DOTALL)
    text = page(reference, lower=0.2, then=then)
    before, now = five.findall(text)
    assert before.count('alt="labelled bicycle"') == 5
    assert now.count("<li>") == 5
    assert all(len(image) < 40_000 for image in re.findall(r'src="([^"]*)"', before + now))
    (now,) = five.findall(alone := page(reference, lower=0.2))
    assert "To see reference images beside them" in alone
    assert not five.findall(page(reference, then=then))


def test_images_that_reviewers_find_out_of_scope_are_counted() -> None:
    """The page says how many reviewed images of the stream show none of the classes, and nothing if that is unknown."""
    ref = ImageRef(s3_bucket="b", s3_key=HOSTILE, etag="e")
    said = "Of 1 image that reviewers have labelled, 1 shows none of the classes (100.0"
    assert said in page(None, none_of_these={ref.image_id: True, "of another stream": True})
    assert "none of the classes" not in page(None, none_of_these={"of another stream": True})
    assert "none of the classes" not in page(None)


def test_of_many_classes_tables_show_what_matters() -> None:
    """A model of 300 classes has tables of 24 rows, which say of how many."""
    labels = tuple(f"class {number}" for number in range(300))
    answer = Payload("application/json", json.dumps([0.402, *[0.002] * 299]).encode())
    rows = [Capture(str(n), NOW, Payload("image/png", b"no image"), answer) for n in range(20)]
    text = render_page(monitor(rows, MonitorRequest(labels=labels)), NOW)
    assert "The 24 most frequent of 300" in text
    assert text.count('<th scope="row"') == 24


def test_what_strangers_wrote_is_text() -> None:
    """Object keys and broken lines cannot become markup or templates."""
    text = page(None, lower=0.2)
    assert "<script" not in text
    assert "<b>cut off</b>" not in text
    assert text.count("{{ 7 * 7 }}.png") == 12


def test_nothing_is_loaded_from_elsewhere(reference: Reference) -> None:
    """No address but data URIs, no script at all, and a policy that allows none."""
    text = page(reference)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)


def test_every_drawing_has_words(reference: Reference) -> None:
    """Each SVG drawing with a role has a title and a description, each image an alt text."""
    text = page(reference)
    assert text.count('role="img" aria-labelledby') == text.count("<desc id=") == 3
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', text))


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_streams_of_any_length_render(count: int) -> None:
    """One answer, two and a thousand make a page."""
    assert page(None, count=count).endswith("</html>")


def test_in_a_browser_it_loads_without_a_complaint(
    browser: Any, reference: Reference, tmp_path: Path, artefacts: Path
) -> None:
    """On a phone Chromium shows all three drawings, asks for nothing else and complains of nothing; an image stays."""
    file = tmp_path / "monitoring.html"
    file.write_text(page(reference, lower=0.2), encoding="utf-8")
    opened = browser.page(file.as_uri(), width=390)
    assert opened.js("document.querySelectorAll('svg[role=img]').length") == 3
    assert opened.js("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert [url for url in opened.requests if not url.startswith("data:")] == [file.as_uri()]
    assert opened.errors == []
    opened.screenshot(artefacts / "monitoring-phone.png")


def test_the_least_sure_answers_show_where_they_go() -> None:
    """An image below the threshold has the colour of review, at or above it that of acceptance."""
    rims = re.compile(r'class="rim-(\w+)"')
    assert rims.findall(page(None)) == ["review"] * 12
    assert rims.findall(page(None, threshold=0.6)) == ["accepted"] * 12
    assert rims.findall(page(None, threshold=None)) == []
