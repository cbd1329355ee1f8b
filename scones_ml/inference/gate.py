"""ASGI middleware that passes only complete and allowed requests to the endpoint's application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from scones_ml.errors import MissingExtraError
from scones_ml.inference.client_limits import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

try:
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
except ModuleNotFoundError as exc:
    raise MissingExtraError("starlette", "serve") from exc

__all__ = ["Gate", "Refusal"]

Refusal = Callable[[Mapping[str, str]], "str | None"]
_ONCE: Final = ("host", "origin", "sec-fetch-site")


class Gate:
    """ASGI middleware that rejects requests, and reads bodies within limits.

    Args:
        app: the application.
        refusal: function from a request's headers to the reason of a 403, or None.
        limits: limits for clients.

    Attributes:
        held: total bytes of bodies in memory.
    """

    def __init__(self, app: ASGIApp, refusal: Refusal, limits: Limits) -> None:
        self._app = app
        self._refusal = refusal
        self._limits = limits
        self._coming: dict[asyncio.Timeout, int] = {}  # bytes of incomplete bodies, oldest first
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            self._check(request)
            body = await self._body(request)
        except ClientDisconnect:
            return
        except HTTPException as exc:
            response = JSONResponse({"message": exc.detail}, exc.status_code, {"connection": "close"})
        else:
            await self._answer(scope, body, send)
            return
        await self._refuse(response, request, send)  # after the exception, which holds the partial body

    def _check(self, request: Request) -> None:
        """Reject a request by its head."""
        scope, headers, pairs = request.scope, request.headers, request.headers.raw
        size = (
            len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(name) + len(value) for name, value in pairs)
        )
        if size > self._limits.head_bytes or len(pairs) > self._limits.headers:
            raise HTTPException(431, self._limits.too_large_a_head)
        if scope["http_version"] not in ("1.0", "1.1"):
            raise HTTPException(505, "unsupported HTTP version: use HTTP/1.1")
        if "host" not in headers and scope["http_version"] != "1.0":
            raise HTTPException(400, "the Host header is missing")
        if repeated := next((name for name in _ONCE if len(headers.getlist(name)) > 1), None):
            raise HTTPException(400, f"the header {repeated} occurs more than once")
        if reason := self._refusal(headers):
            raise HTTPException(403, reason)
        if headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise HTTPException(501, "unsupported transfer encoding: use chunked, or none")
        # Leading zeros may be more than int() accepts.
        self._check_size(int(headers.get("content-length", "0").lstrip("0") or "0"))

    def _check_size(self, count: int) -> None:
        if count > self._limits.body_bytes:
            raise HTTPException(413, f"the request is larger than {self._limits.body_bytes:,} bytes")

    async def _body(self, request: Request) -> bytes:
        """Read the whole body, accounted for until the response."""
        body = bytearray()
        dropped = False
        try:
            async with asyncio.timeout(self._limits.body_seconds) as coming:
                self._coming[coming] = 0
                try:
                    async for part in request.stream():
                        body += part
                        self._check_size(len(body))
                        self._hold(coming, len(part))
                finally:
                    dropped = coming not in self._coming
                    self.held -= self._coming.pop(coming, 0)
        except TimeoutError as exc:
            if dropped:
                raise HTTPException(503, "too much data is being received: try again later") from exc
            raise HTTPException(408, "the request timed out") from exc
        self.held += len(body)
        return bytes(body)

    def _hold(self, coming: asyncio.Timeout, count: int) -> None:
        """Account for received bytes; above the limit the oldest incomplete body is dropped."""
        if coming in self._coming:
            self._coming[coming] += count
            self.held += count
        while self.held > self._limits.held_bytes and self._coming:
            oldest = next(iter(self._coming))
            self.held -= self._coming.pop(oldest)
            if not oldest.expired():
                oldest.reschedule(0)
        if coming not in self._coming:
            raise TimeoutError

    async def _answer(self, scope: Scope, body: bytes, send: Send) -> None:
        asked: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return asked.pop() if asked else {"type": "http.disconnect"}

        try:
            await self._app(scope, receive, send)
        finally:
            self.held -= len(body)

    async def _refuse(self, response: Response, request: Request, send: Send) -> None:
        """Send an error at once, and close after the client stops sending, so that it can read the error."""

        async def begin(message: Message) -> None:
            await send({**message, "more_body": True})

        await response(request.scope, request.receive, begin)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger_seconds):
                while (await request.receive()).get("more_body"):
                    pass
        await send({"type": "http.response.body"})
