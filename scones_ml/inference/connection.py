"""One connection of the endpoint: uvicorn's, with what uvicorn does not bound.

These are the time and the size of headers and of what frames a body, the time for a client to take its answer, and the
number of connections. Requests that are sent before the answer to the one before (pipelining) are not read: the
connection is closed after that answer, and the client asks again. An offer of another protocol is declined, and the
request is read as HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import http
import json
import re
from typing import Any, Final

from scones_ml.errors import MissingExtraError
from scones_ml.inference.client_limits import Limits

try:
    import httptools
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ModuleNotFoundError as exc:
    raise MissingExtraError(str(exc.name), "serve") from exc

__all__ = ["ALONE", "Connection"]

ALONE: Final = "scones_ml.alone"
"""The ASGI extension of a request while its client is the only one."""

_ABSOLUTE: Final = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)  # a target that names its host
_LAST_MOMENT: Final = 0.2  # seconds for a request that an idle client has just sent when the server is stopped


class Connection(HttpToolsProtocol):
    """A client's connection.

    Args:
        limits: what clients may take.
        waiting: the server's connections that it waits for, the longest first.
        given: by uvicorn.
    """

    def __init__(self, *, limits: Limits, waiting: dict[Connection, None], **given: Any) -> None:
        super().__init__(**given)
        self._limits, self._waiting = limits, waiting
        self._deadline: asyncio.TimerHandle | None = None
        self._other_bytes = 0  # since a part of a body came: of a head, of what frames a body, of trailers
        self._begun = self._headed = self._offered = self._refused = self._last = False

    @property
    def _answered(self) -> bool:
        """Whether no request waits for an answer: the next head comes, or nothing."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """With too many connections, close the one that is waited for the longest."""
        super().connection_made(transport)
        self._wait(self._limits.head_seconds)
        if len(self.connections) > self._limits.connections:
            client = next(iter(self._waiting))  # this one when all others are being answered
            self.connections.discard(client)
            client._forget()
            client.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._forget()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # of asyncio: True leaves the way back open
        """The client has sent its last byte: an answer under way is written all the same."""
        if self._answered or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Parse what has come, unless it belongs to what was refused."""
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._other_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as exc:
            self.send_400_response(str(exc))
        if (self._answered or self.cycle.more_body) and self._other_bytes > self._limits.head_bytes:
            self._refuse(431, self._limits.too_large_a_head)

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            if self._offered:  # httptools has passed over the body: it reads the request again, without the offer
                head = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
                head += [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.feed_data(b"".join([*head, b"\r\n", data[exc.args[0] :]]))

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if not self._answered:
            raise ValueError("a request before the answer to the one before")
        super().on_message_begin()
        self.scope["extensions"] = {ALONE: {}} if len(self.connections) == 1 else {}
        self._begun, self._headed, self._offered = True, False, False
        self._wait(self._limits.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what comes behind a body (a trailer) is none."""
        if not self._headed:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The application starts, and reads the body."""
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offered:
            return
        self._headed = True
        target = _ABSOLUTE.match(self.url)
        if target and (b"host", target[1]) not in self.headers:
            self.headers.append((b"host", target[1]))  # of two the request is refused
        super().on_headers_complete()
        # The body has its time in the application, unless earlier answers are not taken.
        self._wait(self._limits.linger_seconds if self.flow.write_paused else None)
        self.cycle.keep_alive &= not self._last

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._other_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The client waits for the server: it is not closed."""
        if self._offered:
            return
        self._other_bytes = 0
        super().on_message_complete()
        if not self.flow.write_paused:
            self._forget()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the client to take its last answer."""
        super().on_response_complete()
        self._other_bytes, self._begun = 0, False
        self._wait(self._limits.linger_seconds if self.transport.is_closing() else self._limits.idle_seconds)

    def pause_writing(self) -> None:
        """The client does not take its answers."""
        super().pause_writing()
        self._wait(self._limits.linger_seconds)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Refuse what is no HTTP."""
        if self._answered or (self.cycle.more_body and not self.cycle.response_started):
            self._refuse(400, "this is no HTTP request")
        else:  # behind a request that comes first
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def shutdown(self) -> None:
        """The server stops: a request that has begun is the last one."""
        self._last = True
        if not self._answered:
            super().shutdown()
        elif not self._refused:
            self._wait(self._limits.stop_seconds / 2 if self._begun else _LAST_MOMENT)

    def _wait(self, seconds: float | None) -> None:
        """The server waits for this client from now on, and so long."""
        self._forget()
        self._waiting[self] = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._expire)

    def _forget(self) -> None:
        self._waiting.pop(self, None)
        if self._deadline:
            self._deadline.cancel()

    def _expire(self) -> None:
        if self._answered and self._begun and not self._refused:
            self._refuse(408, "the request took too long to come")
        else:
            self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        """Answer at once, and close when the client has stopped sending: closed before, it would not read why."""
        if not self._answered:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refused = True
        self._wait(self._limits.linger_seconds)
        body = json.dumps({"message": message})
        head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write((head + body).encode())
        self.transport.write_eof()
