"""``scones review`` as a reviewer uses it: a real browser, a real server, keys, and a server that is killed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scones_ml.dataset.synthetic import draw_png
from scones_ml.events import FilteredImage
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.review.annotations import Annotation, read_annotations

CALL = [sys.executable, "-c", "import sys; from scones_ml.cli import main; sys.exit(main(sys.argv[1:]))", "review"]
LABELS = ("bicycle", "motorcycle")


class Workspace:
    """A folder with doubtful images, and the servers that were started on it."""

    def __init__(self, folder: Path, doubtful: Callable[..., FilteredImage]) -> None:
        self.folder = folder
        self.answers = folder / "reviews" / "answers.jsonl"
        self.images: list[FilteredImage] = []
        self._store = DirectoryObjectStore(folder / "buckets")
        self._doubtful = doubtful
        self._servers: list[subprocess.Popen[str]] = []

    def fill(self, count: int, labels: tuple[str, ...] = LABELS, size: int | tuple[int, int] = 64) -> None:
        """Queue images, the least sure first."""
        for number in range(count):
            share = (0.5 + number / 1000) if len(labels) == 2 else (1 / len(labels) + 0.01 + number / 1000)
            rest = (1 - share) / (len(labels) - 1)
            given = tuple(share if index == number % len(labels) else rest for index in range(len(labels)))
            key = f"inbox/image {number:02}.png"
            self.images.append(self._doubtful(self._store, key, draw_png("bicycle", 0, number, size), given, labels))

    def start(self, *options: str) -> tuple[subprocess.Popen[str], str]:
        """Start ``scones review``; returns it with its address."""
        server = subprocess.Popen(
            [*CALL, "--workspace", str(self.folder), *options],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._servers.append(server)
        assert server.stderr is not None
        address = next(found for line in server.stderr if (found := re.search(r"http://\S+/", line)))
        return server, address[0]

    def labels(self) -> list[tuple[str, str]]:
        """Key and label of every answer that holds."""
        return [(answer.image.s3_key, answer.label) for answer in read_annotations(self.answers).current]

    def stop(self) -> None:
        """End what still runs."""
        for server in self._servers:
            server.send_signal(signal.SIGKILL)
            server.communicate(timeout=20)


@pytest.fixture
def workspace(tmp_path: Path, doubtful: Callable[..., FilteredImage]) -> Iterator[Workspace]:
    """An empty one."""
    made = Workspace(tmp_path, doubtful)
    yield made
    made.stop()


def press(page: Any, key: str, then: str) -> None:
    """Press a key and wait until the page says something."""
    page.press(key)
    seen = f"document.body.innerText.replace(/\\s+/g, ' ').includes({then!r})"
    late = f"reject('no {then} in: ' + document.body.innerText)"
    page.js(
        "new Promise((done, reject) => { const end = Date.now() + 15000; "
        f"const look = () => {seen} ? done() : Date.now() > end ? {late} : setTimeout(look, 5); look(); }})"
    )


def test_ten_answers_by_keyboard_and_a_killed_server(workspace: Workspace, browser: Any) -> None:
    """Ten images are labelled by keys alone; the server is killed with an answer under way, and none is lost."""
    workspace.fill(12)
    keys = "1221122121"
    server, address = workspace.start("--reviewer", "ann")
    page = browser.page(address)
    for number, key in enumerate(keys[:6], start=2):
        press(page, key, f"{number} of 12")
    page.press(keys[6])
    server.kill()
    server.wait(timeout=20)
    saved = len(workspace.labels())
    assert saved in (6, 7), "six were confirmed; of the seventh nobody was told"
    press(page, "1", "No answer from scones review")

    server, address = workspace.start("--reviewer", "ann")
    again = browser.page(address)
    assert f"{saved + 1} of 12" in again.js("document.body.innerText")
    for number, key in enumerate(keys[saved:], start=saved + 2):
        press(again, key, f"{number} of 12")
    expected = [(f"inbox/image {number:02}.png", LABELS[int(key) - 1]) for number, key in enumerate(keys)]
    assert workspace.labels() == expected
    assert again.errors == []
    server.send_signal(signal.SIGINT)
    summary = server.communicate(timeout=20)[0]
    assert summary.startswith(f"{10 - saved} answers by ann: ")
    assert ", 2 left; " in summary


def test_a_disk_that_refuses_is_said_and_the_same_image_stays(workspace: Workspace, browser: Any) -> None:
    """An answer that cannot be written is not counted; once it can be, the page goes on with the same image."""
    workspace.fill(2)
    _, address = workspace.start("--reviewer", "ann")
    page = browser.page(address)
    workspace.answers.parent.write_text("a file where a folder must be")
    press(page, "1", "That did not work")
    assert page.js("location.href") == address
    workspace.answers.parent.unlink()
    page.goto(page.js("document.getElementById('retry').href"))
    press(page, "1", "Saved: bicycle")
    assert workspace.labels() == [("inbox/image 00.png", "bicycle")]


def test_undo_and_skip_by_keyboard(workspace: Workspace, browser: Any) -> None:
    """U shows the last image again and its answer counts no more; Space puts off, and U takes that back, too."""
    workspace.fill(3)
    _, address = workspace.start("--reviewer", "ann")
    page = browser.page(address)
    press(page, "1", "Saved: bicycle")
    assert page.js("document.querySelector('figure img').src").endswith(workspace.images[1].image_id)
    press(page, "u", "1 of 3")
    assert page.js("document.querySelector('figure img').src").endswith(workspace.images[0].image_id)
    assert workspace.labels() == []
    press(page, " ", "1 skipped")
    press(page, "u", "1 of 3")
    press(page, "2", "Saved: motorcycle")
    assert workspace.labels() == [("inbox/image 00.png", "motorcycle")]
    lines = read_annotations(workspace.answers).lines
    assert [type(line).__name__ for line in lines] == ["Annotation", "Undo", "Annotation"]
    assert page.text("said").startswith("motorcycle saved. 2 of 3.")


def test_two_reviewers_see_that_they_disagree(workspace: Workspace, browser: Any, artefacts: Path) -> None:
    """A second reviewer's other answer is kept beside the first, the page shows both, and one of them can give in."""
    workspace.fill(2)
    _, address = workspace.start("--reviewer", "ann")
    ann = browser.page(address)
    press(ann, "1", "2 of 2")
    _, other = workspace.start("--reviewer", "bob", "--second-opinion")
    bob = browser.page(other)
    press(bob, "2", "1 conflict")
    assert workspace.labels() == [("inbox/image 00.png", "bicycle"), ("inbox/image 00.png", "motorcycle")]
    bob.goto(other + "conflicts")
    shown = bob.js("document.querySelector('.images').innerText").split()
    assert shown.index("ann") < shown.index("bicycle") < shown.index("bob") < shown.index("motorcycle")
    bob.screenshot(artefacts / "review-conflicts.png")
    bob.goto(bob.js("document.querySelector('.images a').href"))
    press(bob, "1", "Everyone agrees")
    (verdict,) = read_annotations(workspace.answers).verdicts
    assert verdict.label == "bicycle"
    assert sum(isinstance(line, Annotation) for line in read_annotations(workspace.answers).lines) == 3


def test_many_classes_keep_their_keys_and_have_a_list(workspace: Workspace, browser: Any, artefacts: Path) -> None:
    """Of forty classes 34 have a fixed key, whatever the model predicts; the list has the others, N none of these."""
    labels = tuple(f"vehicle {number:02}" for number in range(40))
    workspace.fill(4, labels)
    _, address = workspace.start("--reviewer", "ann", "--classes", ",".join(labels))
    page = browser.page(address)
    assert page.js("document.querySelectorAll('.classes button[id^=choice]').length") == 34
    page.screenshot(artefacts / "review-40-classes.png")
    press(page, "1", "Saved: vehicle 00")
    press(page, "0", "Saved: vehicle 09")
    page.press("/")
    assert page.js("document.activeElement.id") == "others"
    page.press("End")
    press(page, "Enter", "Saved: vehicle 39")
    press(page, "q", "Saved: vehicle 10")
    assert [label for _, label in workspace.labels()] == ["vehicle 00", "vehicle 09", "vehicle 39", "vehicle 10"]


def test_tab_reaches_everything_and_shows_where_it_is(workspace: Workspace, browser: Any) -> None:
    """Buttons are reached by Tab with a visible outline, and Enter and Space press the one in focus."""
    workspace.fill(3)
    _, address = workspace.start("--reviewer", "ann")
    page = browser.page(address)
    reached = []
    for _ in range(4):
        page.press("Tab")
        reached.append(page.js("document.activeElement.id"))
        assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == ["choice-1", "choice-2", "none", "skip"]
    page.js("document.getElementById('choice-2').focus()")
    press(page, " ", "Saved: motorcycle")
    assert page.js("document.activeElement.id") == "choice-2", "the focus stays where the reviewer's hand is"


def test_light_dark_and_phone(workspace: Workspace, browser: Any, artefacts: Path) -> None:
    """The page follows light and dark, fits a phone without scrolling sideways, loads nothing from elsewhere."""
    from PIL import Image

    workspace.fill(2, size=(320, 240))
    _, address = workspace.start("--reviewer", "ann")
    light, dark = (250, 249, 246), (18, 24, 26)
    for name, width, ground in (("light", 1280, light), ("dark", 1280, dark), ("phone", 390, light)):
        page = browser.page(address, width=width, height=800, dark=ground == dark)
        assert page.js("document.documentElement.scrollWidth") <= width
        assert page.js("document.querySelector('figure img').naturalWidth") == 320
        assert page.js("document.getElementById('choice-1').getBoundingClientRect().bottom") < 800
        assert [url for url in page.requests if not url.startswith((address, "data:"))] == []
        assert page.errors == []
        image = artefacts / f"review-{name}.png"
        page.screenshot(image)
        assert Image.open(image).convert("RGB").getpixel((3, 3)) == ground
