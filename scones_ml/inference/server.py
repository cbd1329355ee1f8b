"""The endpoint: a model served under SageMaker's container contract.

==================================  ======================================================================
``GET /ping``                       200 if the model is loaded, 503 before
``POST /invocations``               image in, JSON list of probabilities out (the container's path)
``POST /endpoints/NAME/invocations``  the same at the runtime API's path, so that boto3 and the AWS CLI
                                    can call it by endpoint URL
==================================  ======================================================================

Content types are image/png, image/jpeg or application/x-image; the format is detected from the first bytes. Errors of
the runtime path have SageMaker's form: HTTP 424 ModelError with OriginalStatusCode, 400 ValidationError.

Requests from web pages are rejected (:mod:`scones_ml.inference.callers`), and clients have resource limits
(:class:`scones_ml.inference.client_limits.Limits`).

Each response has its duration in milliseconds and the model's identity as SageMaker custom attributes, ``latency_ms``
and ``model``, which data capture records beside the caller's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from scones_ml.captures import Payload
from scones_ml.errors import ImageError, ImageTooLargeError, InferenceError, MissingExtraError, SconesError
from scones_ml.images.headers import is_small
from scones_ml.inference.capturing import CaptureOptions, Capturing
from scones_ml.inference.connection import ALONE
from scones_ml.inference.error_log import ErrorLog
from scones_ml.inference.model import OnnxClassifier
from scones_ml.inference.timing import warm_up

if TYPE_CHECKING:
    from starlette.requests import Request

try:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ModuleNotFoundError as exc:
    raise MissingExtraError("starlette", "serve") from exc

__all__ = ["CaptureOptions", "application"]

CONTENT_TYPES = ("image/png", "image/jpeg", "application/x-image")
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_QUICK: Final = 0.003  # seconds that a new client may wait; a thread costs 0.1 ms


class _Answer(Exception):  # noqa: N818
    """Ends a request with a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def application(
    name: str,
    load: Callable[[], OnnxClassifier],
    capture: CaptureOptions | None = None,
    log: ErrorLog | None = None,
) -> Starlette:
    """Build the ASGI application of one endpoint.

    Args:
        name: name of the endpoint.
        load: function that loads the model; called once, in a thread, at the start of the server.
        capture: capture options; None for no capture.
        log: error log; None for standard error.
    """
    endpoint = _Endpoint(name, load, Capturing(capture, log or ErrorLog()) if capture else None)
    return Starlette(
        routes=[
            Route("/ping", endpoint.ping),
            Route("/invocations", endpoint.invoke, methods=["POST"]),
            Route("/endpoints/{name}/invocations", endpoint.invoke_by_name, methods=["POST"]),
        ],
        exception_handlers={404: _not_here, 405: _not_so, Exception: _failed},
        lifespan=endpoint.lifespan,
    )


class _Endpoint:
    def __init__(self, name: str, load: Callable[[], OnnxClassifier], capturing: Capturing | None) -> None:
        self._name = name
        self._load = load
        self._model: OnnxClassifier | None = None
        self._quick = False
        self._failure = ""
        self._capturing = capturing
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "images")

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Load the model in the background."""
        loading = asyncio.create_task(self._load_model())
        yield
        await loading
        self._threads.shutdown()
        if self._capturing:
            self._capturing.close()

    async def _load_model(self) -> None:
        try:
            self._model, seconds = await asyncio.get_running_loop().run_in_executor(self._threads, self._loaded)
            self._quick = seconds <= _QUICK
        except SconesError as exc:
            self._failure = str(exc)

    def _loaded(self) -> tuple[OnnxClassifier, float]:
        model = self._load()
        return model, warm_up(model)

    async def ping(self, _request: Request) -> Response:
        """Return 200 if the model is loaded, 503 while loading, 500 with the reason if loading failed."""
        if self._failure:
            return JSONResponse({"message": self._failure}, status_code=500)
        return Response(status_code=200 if self._model else 503)

    async def invoke(self, request: Request) -> Response:
        try:
            return await self._predict(request)
        except _Answer as answer:
            return JSONResponse({"message": str(answer)}, status_code=answer.status)

    async def invoke_by_name(self, request: Request) -> Response:
        if request.path_params["name"] != self._name:
            message = f"Endpoint {request.path_params['name']} not found; this server has {self._name}"
            return _service_error(400, "ValidationError", {"Message": message})
        try:
            response = await self._predict(request)
        except _Answer as answer:
            if answer.status == 503:
                return _service_error(503, "ServiceUnavailable", {"Message": str(answer)})
            detail = {"Message": str(answer), "OriginalMessage": str(answer), "OriginalStatusCode": answer.status}
            return _service_error(424, "ModelError", detail)
        response.headers["x-Amzn-Invoked-Production-Variant"] = "AllTraffic"
        return response

    async def _predict(self, request: Request) -> Response:
        model = self._model
        if model is None:
            raise _Answer(503, self._failure or "the model is not loaded yet")
        content_type = request.headers.get("content-type", "application/x-image")
        if content_type.partition(";")[0].strip().lower() not in CONTENT_TYPES:
            raise _Answer(415, f"content type {content_type!r} is not one of {', '.join(CONTENT_TYPES)}")
        image = await request.body()  # size already limited by the gate
        alone = ALONE in request.scope.get("extensions", {})
        work = partial(self._classify, model, request.headers, content_type, image)
        # A single client needs no thread; several clients are served concurrently.
        if alone and self._quick and is_small(image):
            answer, said = work()
        else:
            answer, said = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        return Response(answer, media_type="application/json", headers={_ATTRIBUTES: said})

    def _classify(
        self, model: OnnxClassifier, headers: Mapping[str, str], content_type: str, image: bytes
    ) -> tuple[bytes, str]:
        """Classify an image; returns the response and its custom attributes, both captured."""
        started = time.perf_counter()
        try:
            probabilities = model.predict(image)
        except ImageTooLargeError as exc:
            raise _Answer(413, str(exc)) from exc
        except ImageError as exc:
            raise _Answer(400, str(exc)) from exc
        except InferenceError as exc:
            raise _Answer(500, str(exc)) from exc
        answer = json.dumps(probabilities).encode()
        said = (f"latency_ms={1000 * (time.perf_counter() - started):.2f}", f"model={model.model}")
        if self._capturing:
            asked = headers.get(_ATTRIBUTES)
            attributes = (*(asked.split(",") if asked else ()), *said)
            sent, answered = Payload(content_type, image), Payload("application/json", answer)
            self._capturing.keep(sent, answered, headers.get("x-amzn-sagemaker-inference-id"), attributes)
        return answer, ",".join(said)


async def _not_here(_request: Request, _exc: Exception) -> Response:
    return JSONResponse({"message": "not found: send images to POST /invocations"}, 404)


async def _not_so(request: Request, _exc: Exception) -> Response:
    message = f"{request.method} is not allowed: send images to POST /invocations"
    return JSONResponse({"message": message}, 405, {"allow": "GET" if request.url.path == "/ping" else "POST"})


async def _failed(_request: Request, _exc: Exception) -> Response:
    """Response to an unexpected error, which the server logs."""
    return JSONResponse({"message": "internal error: see the server's log"}, status_code=500)


def _service_error(status: int, code: str, body: dict[str, object]) -> Response:
    return JSONResponse(body, status_code=status, headers={"x-amzn-ErrorType": code})
