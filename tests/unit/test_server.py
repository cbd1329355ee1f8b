"""The endpoint's application, called directly: what it answers while a model loads, and what it records."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette

from scones_ml.captures import CaptureWriter
from scones_ml.errors import ConfigurationError
from scones_ml.inference.connection import ALONE
from scones_ml.inference.model import OnnxClassifier, load_classifier, read_card
from scones_ml.inference.server import CaptureOptions, application


def make_image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


async def call(app: Starlette, path: str, body: bytes = b"", *, alone: bool = False) -> int:
    """One request, of the only client or of one of several; returns its status."""
    scope = {
        "extensions": {ALONE: {}} if alone else {},
        "type": "http",
        "method": "POST" if body else "GET",
        "path": path,
        "headers": [(b"content-type", b"image/png")],
        "query_string": b"",
    }
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(str(message["status"])))

    await app(scope, receive, send)  # type: ignore[arg-type]
    return statuses[0]


class Watched(OnnxClassifier):
    """A model that keeps which threads it works in."""

    def __init__(self, model: Path) -> None:
        self.threads: list[int] = []
        super().__init__((model / "model.onnx").read_bytes(), read_card(model))

    def predict(self, image: bytes, *, image_id: str = "") -> tuple[float, ...]:
        self.threads.append(threading.get_ident())
        return super().predict(image)


def test_a_client_alone_costs_no_thread(tiny_model: Path) -> None:
    """A small image of the only client is answered where requests are read; of several clients' each in a thread."""
    model = Watched(tiny_model)

    async def check() -> None:
        app = application("bikes", lambda: model)
        async with app.router.lifespan_context(app):
            await loaded(app)
            model.threads.clear()
            assert await call(app, "/invocations", make_image(), alone=True) == 200
            assert await call(app, "/invocations", make_image()) == 200

    asyncio.run(check())
    first, second = model.threads
    assert first == threading.get_ident() != second


async def loaded(app: Starlette) -> None:
    """Wait until /ping says something else than "not yet"."""
    while await call(app, "/ping") == 503:
        await asyncio.sleep(0.001)


def test_503_until_the_model_is_loaded(tiny_model: Path) -> None:
    """/ping and both invocation paths say 503 as long as the model loads, and work as soon as it is there."""
    may_load = asyncio.Event()

    async def check() -> None:
        loop = asyncio.get_running_loop()

        def load() -> OnnxClassifier:
            asyncio.run_coroutine_threadsafe(may_load.wait(), loop).result()
            return load_classifier(tiny_model)

        app = application("bikes", load)
        async with app.router.lifespan_context(app):
            for path, body in (
                ("/ping", b""),
                ("/invocations", make_image()),
                ("/endpoints/bikes/invocations", make_image()),
            ):
                assert await call(app, path, body) == 503
            may_load.set()
            await loaded(app)
            assert await call(app, "/invocations", make_image()) == 200

    asyncio.run(check())


def test_a_model_that_cannot_be_loaded_is_500() -> None:
    """When loading fails, /ping says so instead of keeping its callers waiting."""

    def load() -> OnnxClassifier:
        raise ConfigurationError("no such model")

    async def check() -> None:
        app = application("bikes", load)
        async with app.router.lifespan_context(app):
            await loaded(app)
            assert await call(app, "/ping") == 500

    asyncio.run(check())


@pytest.mark.parametrize(("percentage", "low", "high"), [(0, 0, 0), (25, 30, 70), (100, 200, 200)])
def test_a_share_of_the_requests_is_recorded(
    tiny_model: Path, tmp_path: Path, percentage: int, low: int, high: int
) -> None:
    """Of 200 requests, about the percentage that was asked for is captured; all or none at the ends."""

    async def check() -> None:
        capture = CaptureOptions(CaptureWriter(tmp_path, "bikes"), percentage)
        app = application("bikes", lambda: load_classifier(tiny_model), capture)
        async with app.router.lifespan_context(app):
            await loaded(app)
            for _ in range(200):
                assert await call(app, "/invocations", make_image()) == 200

    asyncio.run(check())
    records = sum(len(path.read_text().splitlines()) for path in tmp_path.rglob("*.jsonl"))
    assert low <= records <= high
