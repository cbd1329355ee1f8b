"""Connection of the endpoint: uvicorn's, with additional limits.

It limits the time and size of headers and body framing, the time for a client to receive its response, and the number
of connections. Pipelined requests are not read: the connection is closed after the first response, and the client has
to send them again. Protocol upgrades are declined, and the request is read as HTTP/1.1.
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
"""ASGI extension of a request whose client is the only one."""

_ABSOLUTE: Final = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)  # absolute-form target
_LAST_MOMENT: Final = 0.2  # seconds for a request just sent by an idle client when the server stops


class Connection(HttpToolsProtocol):
    """A client's connection.

    Args:
        limits: limits for clients.
        waiting: connections that the server waits for, longest first.
        given: arguments from uvicorn.
    """

    def __init__(self, *, limits: Limits, waiting: dict[Connection, None], **given: Any) -> None:
        super().__init__(**given)
        self._limits, self._waiting = limits, waiting
        self._deadline: asyncio.TimerHandle | None = None
        self._other_bytes = 0  # of heads, body framing and trailers since the last part of a body
        self._begun = self._headed = self._offered = self._refused = self._last = False

    @property
    def _answered(self) -> bool:
        """Whether no request waits for a response."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Accept a connection; above the limit, close the one that has been idle longest."""
        super().connection_made(transport)
        self._wait(self._limits.head_seconds)
        if len(self.connections) > self._limits.connections:
            client = next(iter(self._waiting))  # this one if all others are being answered
            self.connections.discard(client)
            client._forget()
            client.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle a closed connection."""
        self._forget()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # of asyncio: True leaves the way back open
        """Handle the end of the client's data; a response in progress is still written."""
        if self._answered or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Parse received data, unless it belongs to a rejected request."""
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
            if self._offered:  # httptools skipped the body: parse the request again without the upgrade
                head = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
                head += [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.feed_data(b"".join([*head, b"\r\n", data[exc.args[0] :]]))

    def on_message_begin(self) -> None:
        """Handle the first byte of a request."""
        if not self._answered:
            raise ValueError("a pipelined request")
        super().on_message_begin()
        self.scope["extensions"] = {ALONE: {}} if len(self.connections) == 1 else {}
        self._begun, self._headed, self._offered = True, False, False
        self._wait(self._limits.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Handle a header; trailers are ignored."""
        if not self._headed:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application, which reads the body."""
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offered:
            return
        self._headed = True
        target = _ABSOLUTE.match(self.url)
        if target and (b"host", target[1]) not in self.headers:
            self.headers.append((b"host", target[1]))  # two Host headers are rejected
        super().on_headers_complete()
        # The application limits the body's time, unless earlier responses are pending.
        self._wait(self._limits.linger_seconds if self.flow.write_paused else None)
        self.cycle.keep_alive &= not self._last

    def on_body(self, body: bytes) -> None:
        """Handle a part of the body."""
        self._other_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle the end of a request; the connection is now busy, not idle."""
        if self._offered:
            return
        self._other_bytes = 0
        super().on_message_complete()
        if not self.flow.write_paused:
            self._forget()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the client to receive its last response."""
        super().on_response_complete()
        self._other_bytes, self._begun = 0, False
        self._wait(self._limits.linger_seconds if self.transport.is_closing() else self._limits.idle_seconds)

    def pause_writing(self) -> None:
        """Handle a client that does not receive its responses."""
        super().pause_writing()
        self._wait(self._limits.linger_seconds)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Reject invalid HTTP."""
        if self._answered or (self.cycle.more_body and not self.cycle.response_started):
            self._refuse(400, "not an HTTP request")
        else:  # after a request in progress
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def shutdown(self) -> None:
        """Stop after the request in progress."""
        self._last = True
        if not self._answered:
            super().shutdown()
        elif not self._refused:
            self._wait(self._limits.stop_seconds / 2 if self._begun else _LAST_MOMENT)

    def _wait(self, seconds: float | None) -> None:
        """Start waiting for the client, with a timeout."""
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
            self._refuse(408, "the request timed out")
        else:
            self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        """Send an error at once, and close after the client stops sending, so that it can read the error."""
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
