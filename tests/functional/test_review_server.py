"""The review's server over HTTP: what it shows and keeps without a script, and whom it refuses."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
import uvicorn

from scones_ml.dataset.synthetic import draw_png
from scones_ml.errors import TransientServiceError
from scones_ml.events import FilteredImage, ImageRef
from scones_ml.inference.listening import listen
from scones_ml.ports import StoredObject
from scones_ml.review.annotations import AnnotationFile
from scones_ml.review.pages import ReviewPages
from scones_ml.review.queue import Queue, read_queue
from scones_ml.review.server import review_application
from scones_ml.review.session import ImagePreviews, ReviewSession
from scones_ml.testing import MemoryObjectStore

HOSTILE = 'in/"><script>alert(1)</script>{{ 7 * 7 }}&.png'
LABELS = ("bicycle", 'motor"cycle <b>')


class SlowStore(MemoryObjectStore):
    """A store that can be told to be throttled."""

    throttled = False

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        if self.throttled:
            raise TransientServiceError("S3 says SlowDown")
        return super().read(ref, limit)


@dataclass
class Site:
    """A running review."""

    port: int
    store: SlowStore
    review: ReviewSession
    images: list[FilteredImage]

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        """One request as a page of ours sends it, but for the headers given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {"Host": f"127.0.0.1:{self.port}", "Content-Type": "application/x-www-form-urlencoded"}
        if method == "POST":
            sent["Origin"] = f"http://127.0.0.1:{self.port}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = urlencode(form or {}) if method == "POST" else None
        connection.request(method, path, body, {name: value for name, value in sent.items() if value})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        return answer.status, text, answer.headers


@pytest.fixture
def site(doubtful: Callable[..., FilteredImage], tmp_path: Path) -> Iterator[Site]:
    """A review of three images, the first under a hostile key."""
    store = SlowStore()
    images = [
        doubtful(store, key, draw_png("bicycle", 0, n), (0.4 - n / 100, 0.6 + n / 100), LABELS)
        for n, key in enumerate((HOSTILE, "b.png", "c.png"))
    ]
    review = ReviewSession(read_queue(store, "scones-output"), AnnotationFile(tmp_path / "answers.jsonl"), "ann")
    pages = ReviewPages(review, LABELS, "s3://scones-output/")

    def newest() -> Queue:
        return read_queue(store, "scones-output", known=review.queue)

    app = review_application(review, pages, ImagePreviews(store), newest, "key")
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield Site(listener.getsockname()[1], store, review, images)
    server.should_exit = True
    thread.join(20)


def test_a_review_needs_no_script(site: Site) -> None:
    """Every step is a form: answer, skip and undo are kept and lead on, by plain HTTP."""
    first, second, _ = site.images
    status, page, _ = site.ask("GET", "/key/")
    assert status == 200
    assert "<b>1</b> of 3" in page
    status, _, headers = site.ask("POST", "/key/answer", {"image": first.image_id, "label": LABELS[1]})
    assert (status, headers["location"]) == (303, "./")
    _, page, _ = site.ask("GET", "/key/")
    assert "<b>2</b> of 3" in page
    site.ask("POST", "/key/skip", {"image": second.image_id})
    assert "1 skipped" in site.ask("GET", "/key/")[1]
    assert site.ask("POST", "/key/undo")[2]["location"] == f"./?image={second.image_id}"
    assert site.ask("POST", "/key/undo")[2]["location"] == f"./?image={first.image_id}"
    assert site.ask("POST", "/key/undo")[2]["location"] == "./"
    kinds = [json.loads(line)["kind"] for line in site.review.file.path.read_text().splitlines()]
    assert kinds == ["answer", "undo"]


def test_none_of_these_is_an_answer(site: Site) -> None:
    """An image that shows no class of the model has a button and a key of its own; another word is still refused."""
    image = site.images[0]
    page = site.ask("GET", "/key/")[1]
    assert 'value="none of these" id="none" data-key="n"' in page
    assert site.ask("POST", "/key/answer", {"image": image.image_id, "label": "none"})[0] == 400
    assert site.ask("POST", "/key/answer", {"image": image.image_id, "label": "none of these"})[0] == 303
    assert [given.label for given in site.review.given()] == ["none of these"]


def test_the_object_is_named_after_the_answer(site: Site) -> None:
    """Folders are often named by label: the page shows the object's key once the image is answered, not before."""
    image = site.images[1]
    asked = f"/key/?image={image.image_id}"
    page = site.ask("GET", asked)[1]
    assert f"picture/{image.image_id}" in page
    assert "b.png" not in page
    site.ask("POST", "/key/answer", {"image": image.image_id, "label": LABELS[0]})
    assert "b.png" in site.ask("GET", "/key/")[1]


def test_the_guess_can_wait_for_the_answer(site: Site) -> None:
    """The model's prediction is a mark on its button, or with the option nowhere until the image is answered."""
    said = "model: 60.0\u00a0%"
    page = site.ask("GET", "/key/")[1]
    assert page.count(said) == 1
    hiding = ReviewPages(site.review, LABELS, "s3://scones-output/", show_guess=False)
    image = site.images[0]
    preview = ImagePreviews(site.store).preview(image)
    hidden = hiding.question(image, preview, None)
    assert "model" not in hidden.partition("<main")[2].partition("</main>")[0]
    site.review.annotate(image, LABELS[0])
    assert "60.0\u00a0%" in hiding.question(site.images[1], preview, None)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "unlike the training images",
            "The image is unlike the training images, so it is reviewed whatever the confidence.",
        ),
        ("no threshold", "The model has no threshold, so every image is reviewed."),
        (None, "Predictions are accepted without review from 90&nbsp;% confidence."),
    ],
)
def test_the_card_says_why_a_person_decides(
    site: Site, doubtful: Callable[..., FilteredImage], reason: str | None, said: str
) -> None:
    """What goes to review whatever its confidence says so in place of the threshold."""
    image = doubtful(site.store, "why.png", draw_png("bicycle", 0, 7), (0.5, 0.5), LABELS)
    outcome = image.model_copy(update={"reason": reason}).to_event() | {"outcome": "review"}
    key = f"outcomes/review/{image.image_id}.json"
    site.store.write("scones-output", key, json.dumps(outcome).encode(), "application/json")
    site.ask("POST", "/key/again")
    page = site.ask("GET", "/key/")[1]
    assert f"picture/{image.image_id}" in page
    assert f'<p class="note">{said}</p>' in page


def test_the_end_says_that_nothing_is_left(site: Site) -> None:
    """After the last answer, and after the last skip, the page says where things stand."""
    for image in site.images[:2]:
        site.ask("POST", "/key/answer", {"image": image.image_id, "label": "bicycle"})
    site.ask("POST", "/key/skip", {"image": site.images[2].image_id})
    assert "Only skipped images are left" in site.ask("GET", "/key/")[1]
    site.ask("POST", "/key/again")
    assert "<b>3</b> of 3" in site.ask("GET", "/key/")[1]
    site.ask("POST", "/key/answer", {"image": site.images[2].image_id, "label": "bicycle"})
    assert "Nothing is left to review" in site.ask("GET", "/key/")[1]


def test_the_end_looks_for_new_images(site: Site, doubtful: Callable[..., FilteredImage]) -> None:
    """Outcomes that came since the queue was read are asked for without a restart, and old ones are not read again."""
    for image in site.images:
        site.ask("POST", "/key/answer", {"image": image.image_id, "label": "bicycle"})
        site.store.delete("scones-output", f"outcomes/review/{image.image_id}.json")
    doubtful(site.store, "d.png", draw_png("bicycle", 0, 9), (0.7, 0.3), LABELS)
    assert "Nothing is left to review" in site.ask("GET", "/key/")[1]
    site.ask("POST", "/key/again")
    page = site.ask("GET", "/key/")[1]
    assert "<b>4</b> of 4" in page


def test_an_answer_is_to_what_was_shown(site: Site) -> None:
    """A page that is open while a run writes its outcome anew answers what it shows; the answer can be undone."""
    image = site.images[2]
    page = site.ask("GET", f"/key/?image={image.image_id}")[1]
    (shown,) = set(re.findall(r'name="shown" value="(\w+)"', page))
    key = f"outcomes/review/{image.image_id}.json"
    again = image.model_copy(update={"model": "sha256:" + "b" * 64, "classes": "0" * 40, "threshold": 0.99})
    site.store.write("scones-output", key, json.dumps(again.to_event() | {"outcome": "review"}).encode(), "")
    site.ask("POST", "/key/again")
    assert site.review.queue.outcomes.count(again) == 1
    site.ask("POST", "/key/answer", {"image": site.images[1].image_id, "label": "bicycle"})
    assert site.ask("POST", "/key/answer", {"image": image.image_id, "shown": shown, "label": "bicycle"})[0] == 303
    kept = site.review.file.read().current[-1]
    assert (kept.image_id, kept.model, kept.threshold) == (image.image_id, image.model, image.threshold)
    site.ask("POST", "/key/undo")
    assert [one.image_id for one in site.review.file.read().current] == [site.images[1].image_id]


def test_hostile_names_are_text(site: Site) -> None:
    """Keys and class names full of markup appear as they are, make no element, and no template."""
    site.ask("POST", "/key/answer", {"image": site.images[0].image_id, "label": LABELS[1]})
    page = site.ask("GET", "/key/")[1]
    assert page.count("<script>") == 1
    assert "<b>'" not in page
    assert HOSTILE in unescape(page)
    assert f'value="{LABELS[1]}"' in unescape(page)
    assert "cycle <b>" not in page


def test_what_is_gone_is_said_and_passed_over(site: Site) -> None:
    """A replaced and a deleted object are named with the reason, and the next image is asked for."""
    site.store.write("scones-input", HOSTILE, draw_png("bicycle", 1, 1), "")
    site.store.delete("scones-input", "b.png")
    page = unescape(site.ask("GET", "/key/")[1])
    assert "<b>3</b> of 3 · 2 cannot be shown" in page
    assert "was replaced since" in page
    assert "s3://scones-input/b.png does not exist" in page
    assert site.review.progress().left == 1


def test_a_throttled_store_loses_nothing(site: Site) -> None:
    """When images cannot be read now, the page says so and asks to try again; no image is passed over."""
    site.store.throttled = True
    status, page, _ = site.ask("GET", "/key/")
    assert status == 503
    assert "SlowDown" in page
    assert site.ask("GET", f"/key/picture/{site.images[0].image_id}")[0] == 503
    site.store.throttled = False
    assert "<b>1</b> of 3" in site.ask("GET", "/key/")[1]


def test_an_answer_that_cannot_be_kept_is_said(site: Site) -> None:
    """A disk that refuses gives a page that says that the answer is not saved."""
    site.review.file.path.mkdir()
    status, page, _ = site.ask("POST", "/key/answer", {"image": site.images[0].image_id, "label": "bicycle"})
    assert status == 503
    assert f"{site.review.file.path} cannot be" in page


def test_images_are_ours_and_kept_by_the_browser(site: Site) -> None:
    """An image is a PNG that no other site may embed; an image that is not in the queue has none."""
    status, _, headers = site.ask("GET", f"/key/picture/{site.images[0].image_id}")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "immutable" in headers["cache-control"]
    assert site.ask("GET", "/key/picture/nothing")[0] == 404


@pytest.mark.parametrize(
    ("method", "headers", "reason"),
    [
        ("GET", {"Host": "evil.example"}, "is not this machine"),
        ("GET", {"Host": "127.0.0.1.evil.example:80"}, "is not this machine"),
        ("GET", {"Host": "[evil"}, "is not this machine"),
        ("GET", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, "another page"),
        ("POST", {"Origin": "http://evil.example"}, "is not this page"),
        ("POST", {"Origin": "null"}, "is not this page"),
        ("POST", {"Origin": "http://127.0.0.1:1"}, "is not this page"),
        ("POST", {"Origin": ""}, "is not this page"),
        ("POST", {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}, "another page"),
    ],
)
def test_strangers_are_refused(site: Site, method: str, headers: dict[str, str], reason: str) -> None:
    """Another host name, another origin or another page gets 403, and nothing is kept."""
    form = {"image": site.images[0].image_id, "label": "bicycle"}
    path = "/key/answer" if method == "POST" else f"/key/picture/{site.images[0].image_id}"
    status, text, _ = site.ask(method, path, form, **headers)
    assert (status, reason in text) == (403, True)
    assert not site.review.file.path.exists()


def test_a_tunnel_may_change_the_port(site: Site) -> None:
    """Through a tunnel the browser knows another port: the same host and origin still hold."""
    form = {"image": site.images[0].image_id, "label": "bicycle"}
    assert site.ask("POST", "/key/answer", form, Host="localhost:9999", Origin="http://localhost:9999")[0] == 303


def test_without_the_key_there_is_nothing(site: Site) -> None:
    """The address without its secret, or with another one, tells and does nothing."""
    for path in ("/", "/other/", "/conflicts", f"/picture/{site.images[0].image_id}"):
        status, text, _ = site.ask("GET", path)
        assert (status, "scones review" in text, "scones-input" in text) == (404, True, False)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 400),
        ({"image": "nothing", "label": "bicycle"}, 400),
        ({"image": "0", "label": "car"}, 400),
        ({"image": "0"}, 400),
        ({"image": "0", "label": "x" * 20_000}, 413),
    ],
)
def test_forms_of_no_page_are_refused(site: Site, form: dict[str, str], status: int) -> None:
    """Unknown images, unknown classes and endless bodies are refused, and nothing is kept."""
    if form.get("image") == "0":
        form = form | {"image": site.images[0].image_id}
    assert site.ask("POST", "/key/answer", form)[0] == status
    assert not site.review.file.path.exists()


def test_the_policy_lets_only_our_own_script_run(site: Site) -> None:
    """Every answer carries the policy: no other script or style, no frame around it, forms to this server."""
    for path in ("/key/", "/key/conflicts", "/", "/key/picture/nothing"):
        headers = site.ask("GET", path)[2]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert re.search(r"script-src 'sha256-[\w+/]+=+'$", policy)
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_conflicts_show_every_answer(site: Site) -> None:
    """The page of conflicts names each reviewer's answer, and answering from there leads back there."""
    image = site.images[0]
    bob = ReviewSession(site.review.queue, AnnotationFile(site.review.file.path), "bob")
    bob.annotate(image, "bicycle")
    site.ask("POST", "/key/answer", {"image": image.image_id, "label": LABELS[1]})
    assert "1 conflict" in site.ask("GET", "/key/")[1]
    page = unescape(site.ask("GET", "/key/conflicts")[1])
    assert "<b>bob</b> bicycle" in page
    assert f"<b>ann</b> {LABELS[1]}" in page
    asked = site.ask("GET", f"/key/?image={image.image_id}&from=conflicts")[1]
    assert "<b>bob</b>: bicycle" in asked
    form = {"image": image.image_id, "label": "bicycle", "from": "conflicts"}
    assert site.ask("POST", "/key/answer", form)[2]["location"] == "conflicts"
    assert "Everyone agrees" in site.ask("GET", "/key/conflicts")[1]
