"""HTTP server of the endpoint: uvicorn, with limits for clients and a rate-limited log."""

from __future__ import annotations

import logging
import math
import signal
import socket
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from scones_ml.errors import MissingExtraError
from scones_ml.inference.client_limits import ACCEPTED_AT_ONCE, Limits, connection_limit
from scones_ml.inference.connection import Connection
from scones_ml.inference.error_log import ErrorLog
from scones_ml.inference.gate import Gate, Refusal
from scones_ml.inference.listening import WAITING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

try:
    import uvicorn
except ModuleNotFoundError as exc:
    raise MissingExtraError("uvicorn", "serve") from exc

__all__ = ["run", "server"]


def run(app: ASGIApp, listener: socket.socket, refusal: Refusal, log: ErrorLog, limits: Limits | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are completed.

    Args:
        app: the application.
        listener: listening socket; closed at the end.
        refusal: function from a request's headers to the reason of a rejection, or None.
        log: error log.
        limits: limits for clients; None for the defaults.

    Raises:
        KeyboardInterrupt: after Ctrl-C, at the end.
        SystemExit: after SIGTERM, at the end, with code 0.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again at its end
    server(app, refusal, log, limits).run(sockets=[listener])


def server(app: ASGIApp, refusal: Refusal, log: ErrorLog, limits: Limits | None = None) -> uvicorn.Server:
    """Create the server of :func:`run`."""
    limits = limits or Limits()
    limits = replace(limits, connections=connection_limit(limits.connections))
    connection: Any = partial(Connection, limits=limits, waiting={})
    config = uvicorn.Config(
        Gate(app, refusal, limits),
        http=connection,
        ws="none",
        lifespan="on",
        loop="asyncio",
        backlog=ACCEPTED_AT_ONCE,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",
        timeout_keep_alive=math.ceil(limits.idle_seconds),
        timeout_graceful_shutdown=math.ceil(limits.stop_seconds),
    )
    for name in ("asyncio", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_Lines(log)], False
    return _Server(config)


class _Server(uvicorn.Server):
    """Server that accepts few connections at once with a long backlog; asyncio has one number for both."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(WAITING)


class _Lines(logging.Handler):
    """Logging handler that writes errors to our log, one line each."""

    def __init__(self, log: ErrorLog) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        line, _, _ = record.getMessage().partition("\n")
        exc = record.exc_info[1] if record.exc_info else None
        self._log.say(record.name, f"{line}: {type(exc).__name__}: {exc}" if exc else line)
