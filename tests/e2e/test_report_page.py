"""The report: one HTML file that a browser opens without a network, and that a hostile image key cannot harm."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from scones_ml.dataset.synthetic import KINDS, draw_png
from scones_ml.evaluation import choose_threshold, evaluate, rescale, softmax
from scones_ml.evaluation.unlike import folded
from scones_ml.lifecycle.report_data import cost_estimate
from scones_ml.reports.evaluation_report import curve_points, hardest_examples, render_report, scored_predictions
from scones_ml.reports.facts import ClassifiedRow, DatasetFacts, ModelFacts, RunReport, SimilarImage
from scones_ml.reports.page import environment

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = 'inbox/"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}.png'


def sample_report(*, images: int = 200, target: float = 0.95, rows: int = 63, sharp: float = 3.0) -> RunReport:
    """A report as the demo makes it, from drawn images and a model whose confidence is honest."""
    generator = np.random.default_rng(11)

    def split(rows: int) -> tuple[np.ndarray, np.ndarray]:
        top = 1 / (1 + np.exp(-np.abs(generator.normal(sharp, 2.0, rows))))
        labels = generator.integers(0, 2, rows)
        answer = np.where(generator.random(rows) < top, labels, 1 - labels)
        return np.where(answer[:, None] == [0, 1], top[:, None], 1 - top[:, None]), labels

    choice = choose_threshold(*split(400), target_precision=target)
    test, truth = split(images)
    return RunReport(
        title="Bicycles and motorcycles",
        created=datetime(2026, 11, 23, 10, 12, tzinfo=UTC),
        dataset=DatasetFacts(
            source="1,200 synthetic images, seed 0",
            classes=KINDS,
            counts={"train": {"bicycle": 400, "motorcycle": 400}, "test": {"bicycle": 100, "motorcycle": 100}},
            hash="9f" * 32,
        ),
        model=ModelFacts("fast", 0, 0.713, 32, 1_178_000, "c4" * 32, "0.1.0"),
        evaluation=evaluate(test, truth, KINDS, choice.threshold),
        predictions=scored_predictions(test, truth),
        uncalibrated=scored_predictions(rescale(test, 1 / 0.713), truth),
        threshold=choice,
        rows=tuple(sample_row(i, test, truth, choice.threshold) for i in range(rows)),
        stage_seconds={"stage": 3.1, "train": 14.2, "choose": 0.4, "deploy": 1.3, "run": 2.6, "clean up": 0.2},
        tested=tuple(sample_row(i, test, truth, choice.threshold) for i in hardest_examples(test, truth, 6)),
        costs=cost_estimate(),
        notes=("Nothing was billed: all of it ran on this machine.", "Nothing is left: 0 processes, 0 objects."),
    )


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_unlike_images_are_told(share: float) -> None:
    """The page says how many are unlike the training images; no point of its curve lets them pass."""
    generator = np.random.default_rng(5)
    plain = softmax(generator.normal(0, 3, (200, 2)))
    truth, unlike = plain.argmax(axis=1), np.arange(200) < 200 * share
    answers = folded(plain, unlike)
    evaluation, predictions = evaluate(answers, truth, KINDS, 0.6), scored_predictions(answers, truth)
    page = render_report(replace(sample_report(), evaluation=evaluation, predictions=predictions, uncalibrated=()))
    assert f"{100 * share:.1f}\u00a0% of the test images" in page
    assert "are unlike the training images: they go to review, whatever the threshold." in page
    assert curve_points(predictions)[-1].accepted == (~unlike).sum()
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)  # neither in a drawing nor in a sentence
    assert ("Log loss – · Brier score –" in page) == (share == 1)


def test_an_approximate_promise_is_called_so() -> None:
    """The page of a cross-fitted threshold says that its promise is approximate, and which images it was chosen by."""
    report = sample_report()
    page = render_report(replace(report, threshold=report.threshold.as_approximate()))
    assert "% right, approximately</small>" in page
    assert "images, each classified by a model that was not trained on it, not on these test images" in page
    assert "approximately" not in render_report(report)


def sample_row(index: int, test: np.ndarray, truth: np.ndarray, threshold: float | None) -> ClassifiedRow:
    """One row of the run; the last three are a hostile key without a truth and two broken files."""
    key, started = f"inbox/{KINDS[truth[index]]}_{index:04}.png", 0.041 * index + 0.02
    if index == 61:
        return ClassifiedRow("inbox/truncated.jpg", "quarantined", None, reason="The file ends early", started=started)
    if index == 62:
        return ClassifiedRow(
            "inbox/huge.png", "quarantined", draw_png("bicycle", 3, 1, 64), reason="12.0 megapixels", started=started
        )
    confidence = float(test[index].max())
    return ClassifiedRow(
        key=HOSTILE if index == 60 else key,
        outcome="accepted" if threshold is not None and confidence >= threshold else "review",
        thumbnail=draw_png(KINDS[truth[index]], 0, index),
        label=KINDS[int(test[index].argmax())],
        confidence=confidence,
        truth=None if index == 60 else KINDS[truth[index]],
        started=started,
        duration_ms=38.0,
    )


@pytest.fixture(scope="module")
def page() -> str:
    """The sample report as HTML."""
    return render_report(sample_report())


class Outline(HTMLParser):
    """Start tags and their attributes, scripts and styles left out of the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data


def test_the_answer_comes_first(page: str) -> None:
    """The headline says how many pass and how often these are right, the next paragraph the counts behind it."""
    at = sample_report().evaluation.at_threshold
    assert at is not None
    headline = re.search(r"<h1>(.*?)</h1>", page)
    assert headline is not None
    assert headline[1] == (
        f"About {100 * at.coverage.value:.0f} of 100 images pass on their own, "
        f"and {100 * at.precision.value:.0f} of 100 of those answers are right."
    )
    assert f"<b>{at.accepted} pass</b>" in page
    assert f"<b>{at.correct} of them are right</b>" in page


def test_a_hostile_key_is_text(page: str) -> None:
    """A key full of markup appears in the page as text, makes no element and no attribute, and is no template."""
    outline = Outline(page)
    assert 'inbox/"><script>alert(1)' in outline.text
    assert HOSTILE in [attributes.get("title") for _, attributes in outline.tags]
    assert sum(tag == "script" for tag, _ in outline.tags) == 2
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]


def test_nothing_comes_from_elsewhere(page: str) -> None:
    """No element refers to anything but data URIs and the page's own parts, and the policy forbids the rest."""
    for tag, attributes in Outline(page).tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, name)
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_only_its_own_script_may_run(page: str) -> None:
    """The policy names the sha256 of exactly the script that is in the page."""
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(script) == 1
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()}'" in page


def test_every_drawing_and_image_has_words(page: str) -> None:
    """Each chart has a title and a description, each image an alt text, each control a label; one h1."""
    outline = Outline(page)
    charts = [a for tag, a in outline.tags if tag == "svg" and a.get("role") == "img"]
    identities = {a["id"] for _, a in outline.tags if "id" in a}
    assert len(charts) == 5
    for chart in charts:
        assert set((chart["aria-labelledby"] or "").split()) <= identities
    assert all(a.get("alt") for tag, a in outline.tags if tag == "img")
    assert any(tag == "label" and a.get("for") == "slider" for tag, a in outline.tags)
    assert sum(tag == "h1" for tag, _ in outline.tags) == 1
    assert len([a["id"] for _, a in outline.tags if "id" in a]) == len(identities)


def test_colours_have_contrast_in_both_modes() -> None:
    """Text and marks stand out from paper and card: 4.5 to 1, as text needs it, light and dark."""
    from importlib.resources import files

    style = files("scones_ml.reports").joinpath("templates/report.css").read_text(encoding="utf-8")
    modes = [
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert len(modes) == 2
    for colours in modes:
        for ground in ("paper", "card"):
            assert contrast(colours["ink"], colours[ground]) > 7
            for text in ("soft", "wrong", "right", "review", "aside"):
                assert contrast(colours[text], colours[ground]) > 4.5, text


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_without_a_threshold_the_page_says_why() -> None:
    """When nothing can be promised, the headline says that no image passes, and the reason follows."""
    report = sample_report(target=0.999, rows=3)
    assert report.threshold.threshold is None
    page = render_report(report)
    assert "No image passes on its own yet" in page
    assert page.replace("\u00a0", " ").count(report.threshold.reason) == 1


def test_without_a_threshold_the_page_tells_one_story(browser: Any, tmp_path: Path) -> None:
    """Tiles, panel and chart say that nothing is accepted; the slider explores from there and leads back."""
    report = sample_report(target=0.999, rows=3)
    file = tmp_path / "report.html"
    file.write_text(render_report(report), encoding="utf-8")
    opened = browser.page(file.as_uri())
    first = figures(opened)
    names = ("at-threshold", "at-passes-count", "at-right", "at-people")
    assert [first[name] for name in names] == ["none", "0 of 200", "–", "200"]
    marker = "document.getElementById('marker').classList.contains('hidden')"
    assert opened.js(marker)
    opened.js("document.getElementById('slider').focus()")
    opened.press("End")
    assert figures(opened)["at-passes-count"] == "200 of 200"
    assert not opened.js(marker)
    opened.click("#reset")
    assert figures(opened) | {"marker": "", "line": ""} == first | {"marker": "", "line": ""}
    assert opened.js(marker)
    assert opened.errors == []


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 'inbox/2026/november/arrival-0001.png'|middle(20) }}", "inbox/2…val-0001.png"),
        ("{{ 'short.png'|middle(20) }}", "short.png"),
        ("{{ '95 % of 40 ms, 3 of 4'|unbroken }}", "95\u00a0% of 40\u00a0ms, 3 of 4"),
        ("{{ 1|counted('image') }}, {{ 1200|counted('image') }}", "1 image, 1,200 images"),
    ],
)
def test_names_numbers_and_plurals(template: str, text: str) -> None:
    """Long names are shortened in the middle, numbers stay with their units, counts agree with their nouns."""
    assert environment()[0].from_string(template).render() == text


def test_every_section_is_in_the_contents(page: str) -> None:
    """The contents name each section once, in the order of the page, and each heading has a link to itself."""
    headings = re.findall(r'<h2 id="(\w+)">', page)
    contents = re.search(r'<nav class="contents".*?</nav>', page, re.DOTALL)
    assert contents is not None
    assert re.findall(r'href="#(\w+)"', contents[0]) == headings
    assert re.findall(r'class="anchor" href="#(\w+)"', page) == headings
    assert len(headings) == 8


def test_tables_keep_their_row_names(browser: Any, file: Path) -> None:
    """On a phone a table that is scrolled sideways still shows the names of its rows."""
    opened = browser.page(file.as_uri(), width=390)
    place = "document.querySelector('[aria-label=\"Dollars a month\"]')"
    opened.js(f"{place}.scrollLeft = 200")
    left = opened.js(f"{place}.querySelector('tbody th').getBoundingClientRect().left")
    assert left >= opened.js(f"{place}.getBoundingClientRect().left")
    assert opened.js(f"{place}.scrollLeft") > 100


@pytest.mark.parametrize("images", [240, 777, 3000])
def test_the_curve_never_leaves_out_the_chosen_point(images: int) -> None:
    """However many answers are thinned out, one point lets exactly as many through as the chosen threshold does."""
    report = sample_report(images=images)
    at = report.evaluation.at_threshold
    assert at is not None
    points = curve_points(report.predictions, at.accepted)
    assert [point.correct for point in points if point.accepted == at.accepted] == [at.correct]
    assert points[-1].accepted == images


@pytest.mark.parametrize("images", [1, 2, 200, 3000])
def test_a_report_of_any_size_renders(images: int) -> None:
    """One test image or 3,000, no run at all: the page is made, and stays below a megabyte."""
    assert len(render_report(sample_report(images=images, rows=0))) < 1_000_000


def test_the_same_report_gives_the_same_page(page: str) -> None:
    """Nothing in the page depends on the clock, the machine or the order of a set."""
    assert render_report(sample_report()) == page


def figures(page: Any) -> dict[str, str]:
    """What the page says of the threshold that the slider is at, and where line and marker are."""
    said = {name: page.text(name) for name in ("at-threshold", "at-passes-count", "at-right", "at-people")}
    return said | {
        "line": page.js("document.querySelector('line.threshold').getAttribute('y1')"),
        "marker": page.js("document.getElementById('marker').getAttribute('cx')"),
    }


@pytest.fixture(scope="module")
def file(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample report as a file on the disk."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1200, 390])
def test_in_a_browser_the_slider_moves_the_figures(browser: Any, file: Path, width: int) -> None:
    """Opened from the disk the page loads without an error; arrow keys, a click and the button move the figures."""
    opened = browser.page(file.as_uri(), width=width)
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [file.as_uri()]
    assert opened.js("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0

    report = sample_report()
    at = report.evaluation.at_threshold
    assert at is not None
    first = figures(opened)
    assert first["at-passes-count"] == f"{at.accepted} of 200"

    opened.js("document.getElementById('slider').focus()")
    opened.press("End")
    lenient = figures(opened)
    assert (lenient["at-passes-count"], lenient["at-people"]) == ("200 of 200", "0")
    assert lenient["at-right"] == f"{100 * report.evaluation.correct / 200:.1f}\u00a0%"
    assert float(lenient["line"]) > float(first["line"])
    assert float(lenient["marker"]) > float(first["marker"])
    assert opened.js("document.getElementById('slider').getAttribute('aria-valuetext')").endswith("right")

    opened.press("ArrowLeft")
    assert float(figures(opened)["at-threshold"]) > float(lenient["at-threshold"])
    opened.click("#slider")
    middle = figures(opened)
    assert middle["at-passes-count"] not in (lenient["at-passes-count"], first["at-passes-count"])
    opened.click("#reset")
    assert figures(opened) == first
    assert opened.errors == []


def test_everything_that_reacts_is_reached_by_tab(browser: Any, file: Path) -> None:
    """Tab goes to contents, slider, button, hidden images and every table that scrolls, with a visible outline."""
    opened = browser.page(file.as_uri())
    reached: list[str] = []
    while "Dollars a month" not in reached and len(reached) < 30:
        opened.press("Tab")
        place = "document.activeElement"
        name = f"{place}.id || {place}.getAttribute('aria-label') || {place}.getAttribute('href') || 'more'"
        reached.append(opened.js(name))
        assert opened.js(f"getComputedStyle({place}).outlineStyle") == "solid"
    assert reached == [
        *("#run", "#sure", "#move", "#trust", "#tested", "#images", "#costs", "#identity"),
        *("slider", "reset", "Confusion matrix", "Results by class", "more", "Dollars a month"),
    ]


def test_in_a_browser_a_foreign_script_is_refused(browser: Any, page: str, tmp_path: Path) -> None:
    """A script that got into the page all the same does not run, and the console says so."""
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", "<script>document.body.id = 'taken'</script></body>"), encoding="utf-8")
    opened = browser.page(path.as_uri())
    assert any("Content Security Policy" in error for error in opened.errors)
    assert opened.js("document.body.id") == ""


@pytest.mark.parametrize(
    ("name", "width", "dark", "ground"),
    [
        ("light", 1200, False, (250, 249, 246)),
        ("dark", 1200, True, (18, 24, 26)),
        ("phone", 390, False, (250, 249, 246)),
    ],
)
def test_a_screenshot_follows_light_and_dark(
    browser: Any, file: Path, artefacts: Path, name: str, width: int, dark: bool, ground: tuple[int, int, int]
) -> None:
    """The image of the page has the mode's ground, and content on it; it stays among the artefacts."""
    from PIL import Image

    taken = artefacts / f"report-{name}.png"
    browser.page(file.as_uri(), width=width, dark=dark).screenshot(taken)
    image = Image.open(taken).convert("RGB")
    assert image.width == width
    assert image.getpixel((3, 3)) == ground
    assert len(image.resize((120, 160)).getcolors(20_000) or ()) > 50


def many_classes(count: int) -> RunReport:
    """A report of a model that knows many classes and errs on a fifth of 2,000 photographs."""
    generator = np.random.default_rng(count)
    names = tuple(f"class number {number}" for number in range(count))
    truth = generator.integers(0, count, 2000)
    said = np.where(generator.random(2000) < 0.8, truth, (truth + 1 + generator.geometric(0.5, 2000)) % count)
    test = np.full((2000, count), 0.3 / (count - 1))
    test[np.arange(2000), said] = 0.7
    wrong = np.flatnonzero(said != truth)[:30]
    drawn = draw_png("bicycle", 0, 0, 64)
    return replace(
        sample_report(rows=0),
        dataset=DatasetFacts("photographs", names, {"train": dict.fromkeys(names, 9)}, "9f" * 32),
        model=ModelFacts("head on efficientnet-lite0", 0, 1.0, 224, 6_700_000, "c4" * 32, "0.2.0"),
        evaluation=evaluate(test, truth, names, 0.6),
        predictions=scored_predictions(test, truth),
        uncalibrated=(),
        tested=tuple(
            ClassifiedRow(
                f"test/{i}.png",
                "accepted",
                drawn,
                names[said[i]],
                0.7,
                names[truth[i]],
                similar=tuple(
                    SimilarImage(f"train/{i}-{n}.png", drawn, names[said[i]], 0.9 - 0.1 * n) for n in range(3)
                ),
            )
            for i in wrong
        ),
    )


@pytest.mark.parametrize("count", [10, 40, 1000])
def test_many_classes_stay_readable(browser: Any, tmp_path: Path, artefacts: Path, count: int) -> None:
    """On a phone the page of 10, 40 and 1,000 classes is no wider than the screen, below 2 MB, and tells what is most
    often confused; the matrix is there up to 20 classes.
    """
    page = render_report(many_classes(count))
    assert len(page) < 2_000_000
    assert "Most often confused" in page
    assert ("Confusion matrix" in page) == (count <= 20)
    assert ("The 40 hardest of" in page) == (count > 40)
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    shown = browser.page(file.as_uri(), width=360)
    shown.screenshot(artefacts / f"report-{count}-classes-phone.png")
    assert shown.js("document.documentElement.scrollWidth") <= 360
    assert not shown.errors


def test_wrong_answers_stand_beside_what_is_similar() -> None:
    """Each wrong answer has three labelled images with label and similarity, and only then they are explained."""
    page = render_report(many_classes(10))
    assert page.count('<ol class="similar"') == 30
    assert "train/" in page
    assert "0.90" in page
    assert "most similar labelled images" in page
    assert '<ol class="similar"' not in render_report(sample_report())
    assert "most similar labelled images" not in render_report(sample_report())
