"""The endpoint: a model behind SageMaker's container contract.

==================================  ======================================================================
``GET /ping``                       200 when the model is loaded, 503 until then
``POST /invocations``               an image in, a JSON list of probabilities out (the container's own path)
``POST /endpoints/NAME/invocations``  the same under the runtime API's path, so that boto3 and the AWS CLI
                                    reach it by endpoint URL
==================================  ======================================================================

Images come as image/png, image/jpeg or application/x-image; their first bytes decide what they are. Errors of the
runtime path have SageMaker's shape: HTTP 424 ModelError with OriginalStatusCode, 400 ValidationError.

Each answer says how long it took, in milliseconds, and which model gave it, as SageMaker lets a container say things:
the custom attributes ``latency_ms`` and ``model``, which data capture keeps beside the caller's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scones_ml.captures import Capture, CaptureWriter, Payload
from scones_ml.errors import ImageError, ImageTooLargeError, MissingExtraError, SconesError
from scones_ml.inference.model import OnnxClassifier
from scones_ml.limits import ENDPOINT_REQUEST_BYTES

if TYPE_CHECKING:
    from starlette.requests import Request

try:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ModuleNotFoundError as exc:
    raise MissingExtraError("starlette", "serve") from exc

__all__ = ["CaptureOptions", "application"]

CONTENT_TYPES = ("image/png", "image/jpeg", "application/x-image")
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """Which requests are captured, and where to.

    Attributes:
        writer: appends to the capture files.
        percentage: share of the requests that is kept, 0..100.
    """

    writer: CaptureWriter
    percentage: int = 100


class _Answer(Exception):  # noqa: N818
    """Ends a request early with a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def application(name: str, load: Callable[[], OnnxClassifier], capture: CaptureOptions | None = None) -> Starlette:
    """Build the ASGI application of one endpoint.

    Args:
        name: the endpoint's name.
        load: loads the model; called once, in a thread, when the server starts.
        capture: where to keep requests; None keeps none.
    """
    endpoint = _Endpoint(name, load, capture)
    return Starlette(
        routes=[
            Route("/ping", endpoint.ping),
            Route("/invocations", endpoint.invoke, methods=["POST"]),
            Route("/endpoints/{name}/invocations", endpoint.invoke_by_name, methods=["POST"]),
        ],
        lifespan=endpoint.lifespan,
    )


class _Endpoint:
    def __init__(self, name: str, load: Callable[[], OnnxClassifier], capture: CaptureOptions | None) -> None:
        self._name = name
        self._load = load
        self._model: OnnxClassifier | None = None
        self._failure = ""
        self._capture = capture
        self._random = random.Random(0)  # noqa: S311 - draws which requests are captured

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Load the model while the server already answers."""
        loading = asyncio.create_task(self._load_model())
        yield
        await loading

    async def _load_model(self) -> None:
        try:
            self._model = await run_in_threadpool(self._load)
        except SconesError as exc:
            self._failure = str(exc)

    async def ping(self, _request: Request) -> Response:
        """200 when the model is there, 503 while it loads, 500 with the reason when it cannot be loaded."""
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
        if self._model is None:
            raise _Answer(503, self._failure or "the model is not loaded yet")
        content_type = request.headers.get("content-type", "application/x-image")
        if content_type.partition(";")[0].strip() not in CONTENT_TYPES:
            raise _Answer(415, f"content type {content_type!r} is not one of {', '.join(CONTENT_TYPES)}")
        image = await _body(request)
        started = time.perf_counter()
        try:
            probabilities = await run_in_threadpool(self._model.predict, image)
        except ImageTooLargeError as exc:
            raise _Answer(413, str(exc)) from exc
        except ImageError as exc:
            raise _Answer(400, str(exc)) from exc
        answer = json.dumps(probabilities).encode()
        said = (f"latency_ms={1000 * (time.perf_counter() - started):.2f}", f"model={self._model.model}")
        self._keep(request, Payload(content_type, image), Payload("application/json", answer), said)
        return Response(answer, media_type="application/json", headers={_ATTRIBUTES: ",".join(said)})

    def _keep(self, request: Request, sent: Payload, answered: Payload, said: tuple[str, ...]) -> None:
        if self._capture is None or self._random.random() * 100 >= self._capture.percentage:
            return
        now = datetime.now(UTC)
        asked = request.headers.get(_ATTRIBUTES)
        capture = Capture(
            event_id=str(uuid.uuid4()),
            inference_time=now,
            input=sent,
            output=answered,
            inference_id=request.headers.get("x-amzn-sagemaker-inference-id"),
            custom_attributes=(*(asked.split(",") if asked else ()), *said),
        )
        try:
            self._capture.writer.write(capture, now)
        except OSError as exc:  # as in SageMaker, an answer does not depend on its record
            print(f"scones: the request was not captured: {exc.strerror}", file=sys.stderr, flush=True)  # noqa: T201


async def _body(request: Request) -> bytes:
    """Read the request's body, but never more than InvokeEndpoint would take."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > ENDPOINT_REQUEST_BYTES:
            raise _Answer(413, f"the request is larger than {ENDPOINT_REQUEST_BYTES:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _service_error(status: int, code: str, body: dict[str, object]) -> Response:
    return JSONResponse(body, status_code=status, headers={"x-amzn-ErrorType": code})
