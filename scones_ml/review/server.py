"""The review as a web page of this machine.

======================  =================================================================================
``GET  /KEY/``          the next image, or the one that ``?image=`` names
``GET  /KEY/picture/ID``  its image
``GET  /KEY/conflicts``  images whose reviewers do not agree
``POST /KEY/answer``    ``image``, ``shown`` (which outcome of it), ``label``: keeps an answer
``POST /KEY/skip``      ``image``, ``shown``: puts it off
``POST /KEY/undo``      takes the latest of these back
``POST /KEY/again``     looks for new images, and asks again for what was put off
======================  =================================================================================

It listens on 127.0.0.1 alone. KEY is a secret of 128 bits in the address that is printed: other pages in the browser
and other users of the machine cannot guess it. Requests to another host name (DNS rebinding) and from another origin
are refused all the same.
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

_MAX_FORM_BYTES = 16_384  # ours hold an image id and a label: some hundred bytes


def new_key() -> str:
    """A secret for the address, 128 bits."""
    return secrets.token_urlsafe(16)


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until Ctrl-C, which ends in KeyboardInterrupt once the answers under way are kept."""
    config = uvicorn.Config(
        app,
        http="h11",  # it bounds what headers may take
        lifespan="off",  # there is none, and a second Ctrl-C would tell its traceback
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,  # seconds: an answer is kept in milliseconds, what hangs is not waited for
    )
    uvicorn.Server(config).run(sockets=[listener])


def review_application(
    review: ReviewSession, pages: ReviewPages, images: ImagePreviews, newest: Callable[[], Queue], key: str
) -> Starlette:
    """Build the ASGI application.

    Args:
        review: what is reviewed.
        pages: its pages.
        images: of the queue.
        newest: reads the queue anew.
        key: the first segment of every path.
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
        """The image that is asked for, or the first that waits and can be shown."""
        wanted = self._review.image(request.query_params.get("image", ""))
        if wanted and (shown := self._question(wanted, request.query_params.get("from", ""))):
            return shown
        for image in self._review.waiting():
            if shown := self._question(image):
                return shown
        return HTMLResponse(self._pages.nothing_left())

    def _question(self, image: FilteredImage, came_from: str = "") -> Response | None:
        """The page for an image; None when its image cannot be shown, which is remembered."""
        try:
            preview = self._previews.preview(image)
        except ImageError as exc:
            self._review.lose(image, str(exc))
            return None
        following = next((other for other in self._review.waiting() if other is not image), None)
        return HTMLResponse(self._pages.question(image, preview, following, came_from))

    def preview(self, request: Request) -> Response:
        """One image; a browser keeps it, for an image id never means another image."""
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
        """Where reviewers do not agree."""
        return HTMLResponse(self._pages.conflicts())

    def acts(self) -> dict[str, Callable[[Form], str]]:
        """What forms do: each returns where the browser goes next, relative to the form."""
        return {"answer": self._answer, "skip": self._skip, "undo": self._undo, "again": self._again}

    def form(self, act: Callable[[Form], str]) -> Callable[[Request], object]:
        """An endpoint that reads a form, acts, and sends the browser on."""

        async def endpoint(request: Request) -> Response:
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_FORM_BYTES:
                    return PlainTextResponse("the form is too large\n", 413)
            fields = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
            # In a thread, since an answer waits for the disk; 303, so that a reload does not answer twice.
            return RedirectResponse(await run_in_threadpool(act, fields), 303)

        return endpoint

    def trouble(self, _request: Request, exc: Exception) -> Response:
        """What the answers or the store refuse for now: nothing is passed over for it."""
        return HTMLResponse(self._pages.trouble(str(exc)), 503)

    def _answer(self, form: Form) -> str:
        label = form.get("label", "")
        if label not in (*self._pages.classes, NONE_OF_THESE):
            raise _BadFormError(f"{label!r} is no class of this review")
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
    """A form that no page of ours sends."""


class _Guard:
    """Refuses whoever is not a page of ours, and says to the browser what a page may do."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            "content-security-policy": policy,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "same-origin",  # no-referrer would hide the origin of our own forms
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
    """Why a request is none of ours; None when it may go on."""
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
