"""The review as a local web page.

======================  =================================================================================
``GET  /KEY/``          the next image, or the one in ``?image=``
``GET  /KEY/picture/ID``  its image
``GET  /KEY/conflicts``  images on which reviewers disagree
``POST /KEY/answer``    ``image``, ``shown`` (the outcome that was shown), ``label``: save an annotation
``POST /KEY/skip``      ``image``, ``shown``: skip the image
``POST /KEY/undo``      undo the latest of these
``POST /KEY/again``     read new images, and show skipped ones again
======================  =================================================================================

It listens only on 127.0.0.1. KEY is a secret of 128 bits in the printed address, which other pages in the browser and
other users of the machine cannot guess. Requests for another host name (DNS rebinding) or from another origin are
rejected as well.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from scones_ml.errors import ConfigurationError, ImageError, MissingExtraError, TransientServiceError
from scones_ml.events import FilteredImage
from scones_ml.host_header import host_name, is_loopback
from scones_ml.review.annotations import NONE_OF_THESE
from scones_ml.review.pages import ReviewPages
from scones_ml.review.queue import Queue
from scones_ml.review.session import ImagePreviews, ReviewSession

if TYPE_CHECKING:
    from starlette.requests import Request

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import Headers
    from starlette.middleware import Middleware
    from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Mount, Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ModuleNotFoundError as exc:
    raise MissingExtraError(str(exc.name), "serve") from exc

__all__ = ["new_key", "review_application", "serve"]

_MAX_FORM_BYTES = 16_384  # our forms contain an image id and a label: some hundred bytes


def new_key() -> str:
    """A secret for the address, 128 bits."""
    return secrets.token_urlsafe(16)


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until Ctrl-C, which raises KeyboardInterrupt after pending annotations are saved."""
    config = uvicorn.Config(
        app,
        http="h11",  # limits the size of headers
        lifespan="off",  # no lifespan events: without this, a second Ctrl-C would print a traceback
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,  # seconds: an annotation takes milliseconds; hanging requests are cancelled
    )
    uvicorn.Server(config).run(sockets=[listener])


def review_application(
    review: ReviewSession, pages: ReviewPages, images: ImagePreviews, newest: Callable[[], Queue], key: str
) -> Starlette:
    """Build the ASGI application.

    Args:
        review: the session.
        pages: the session's pages.
        images: images of the queue.
        newest: reads the queue again.
        key: first segment of every path.
    """
    site = _Site(review, pages, images, newest)
    routes = [
        Route("/", site.ask),
        Route("/picture/{image_id}", site.preview),
        Route("/conflicts", site.conflicts),
        *(Route(f"/{name}", site.form(act), methods=["POST"]) for name, act in site.acts().items()),
    ]
    return Starlette(
        routes=[Mount(f"/{key}", routes=routes)],
        middleware=[Middleware(_Guard, policy=pages.policy)],
        exception_handlers={
            404: _not_found,
            _BadFormError: _refused,
            ConfigurationError: site.trouble,
            TransientServiceError: site.trouble,
        },
    )


async def _refused(_request: Request, exc: Exception) -> Response:
    return PlainTextResponse(f"{exc}\n", 400)


async def _not_found(_request: Request, _exc: Exception) -> Response:
    return PlainTextResponse("Nothing here: open the whole address that `scones review` printed.\n", 404)


Form = dict[str, str]


class _Site:
    def __init__(
        self, review: ReviewSession, pages: ReviewPages, images: ImagePreviews, newest: Callable[[], Queue]
    ) -> None:
        self._review = review
        self._pages = pages
        self._previews = images
        self._newest = newest

    def ask(self, request: Request) -> Response:
        """The page for the requested image, or for the next one that can be shown."""
        wanted = self._review.image(request.query_params.get("image", ""))
        if wanted and (shown := self._question(wanted, request.query_params.get("from", ""))):
            return shown
        for image in self._review.waiting():
            if shown := self._question(image):
                return shown
        return HTMLResponse(self._pages.nothing_left())

    def _question(self, image: FilteredImage, came_from: str = "") -> Response | None:
        """The page for an image; None if the image cannot be shown, which is recorded."""
        try:
            preview = self._previews.preview(image)
        except ImageError as exc:
            self._review.lose(image, str(exc))
            return None
        following = next((other for other in self._review.waiting() if other is not image), None)
        return HTMLResponse(self._pages.question(image, preview, following, came_from))

    def preview(self, request: Request) -> Response:
        """One image, which browsers may cache, since an image id never changes its meaning."""
        image = self._review.image(request.path_params["image_id"])
        if image is None:
            return PlainTextResponse("no such image in the queue\n", 404)
        try:
            preview = self._previews.preview(image)
        except ImageError as exc:
            return PlainTextResponse(f"{exc}\n", 404)
        kept = {"cache-control": "private, max-age=3600, immutable"}
        return Response(preview.data, media_type=preview.media_type, headers=kept)

    def conflicts(self, _request: Request) -> Response:
        """The page of conflicts."""
        return HTMLResponse(self._pages.conflicts())

    def acts(self) -> dict[str, Callable[[Form], str]]:
        """The form actions; each returns the next address, relative to the form."""
        return {"answer": self._answer, "skip": self._skip, "undo": self._undo, "again": self._again}

    def form(self, act: Callable[[Form], str]) -> Callable[[Request], object]:
        """An endpoint that reads a form, performs its action and redirects the browser."""

        async def endpoint(request: Request) -> Response:
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_FORM_BYTES:
                    return PlainTextResponse("the form is too large\n", 413)
            fields = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
            # In a thread, since saving waits for the disk; 303, so that a reload does not save twice.
            return RedirectResponse(await run_in_threadpool(act, fields), 303)

        return endpoint

    def trouble(self, _request: Request, exc: Exception) -> Response:
        """The page for an error of the annotations or the store; no image is skipped because of it."""
        return HTMLResponse(self._pages.trouble(str(exc)), 503)

    def _answer(self, form: Form) -> str:
        label = form.get("label", "")
        if label not in (*self._pages.classes, NONE_OF_THESE):
            raise _BadFormError(f"{label!r} is not a class of this review")
        self._review.annotate(self._asked(form), label)
        return "conflicts" if form.get("from") == "conflicts" else "./"

    def _skip(self, form: Form) -> str:
        self._review.skip(self._asked(form))
        return "./"

    def _undo(self, _form: Form) -> str:
        image = self._review.undo()
        return f"./?image={quote(image.image_id)}" if image else "./"

    def _again(self, _form: Form) -> str:
        self._review.renew(self._newest())
        return "./"

    def _asked(self, form: Form) -> FilteredImage:
        image = self._review.shown(form.get("shown", "")) or self._review.image(form.get("image", ""))
        if image is None:
            raise _BadFormError("no such image in the queue")
        return image


class _BadFormError(Exception):
    """A form that our pages do not send."""


class _Guard:
    """Middleware that rejects foreign requests and adds security headers."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            "content-security-policy": policy,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "same-origin",  # no-referrer would hide the origin of our forms
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = _refusal(Headers(scope=scope), scope["method"])
        app = PlainTextResponse(f"{refused}\n", 403) if refused else self._app

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {"cache-control": "no-store"} | self._headers
                present = {name for name, _ in message["headers"]}
                added = [(n.encode(), v.encode()) for n, v in headers.items() if n.encode() not in present]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await app(scope, receive, guarded)


def _refusal(headers: Headers, method: str) -> str | None:
    """Why a request is rejected; None if it is allowed."""
    host = headers.get("host", "")
    name = host_name(host)
    if name is None or not is_loopback(name):
        return f"the host {host!r} is not this machine"
    site = headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate":
        return "a request of another page"
    if method not in ("GET", "HEAD"):
        origin = headers.get("origin", "")
        if origin != f"http://{host}":
            return f"the origin {origin!r} is not this page"
    return None
