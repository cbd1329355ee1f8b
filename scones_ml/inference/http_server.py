"""The endpoint's HTTP server: uvicorn, with connections and bodies within limits and a log that cannot fill a disk."""

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
    """Serve until SIGTERM or Ctrl-C; what is under way then is answered.

    Args:
        app: answers requests.
        listener: a socket that listens; it is closed in the end.
        refusal: says of a request's headers why it is refused, None when it is not.
        log: of what went wrong.
        limits: what clients may take; the defaults when None.

    Raises:
        KeyboardInterrupt: in the end, after Ctrl-C.
        SystemExit: in the end, with 0, after SIGTERM.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again when it has ended
    server(app, refusal, log, limits).run(sockets=[listener])


def server(app: ASGIApp, refusal: Refusal, log: ErrorLog, limits: Limits | None = None) -> uvicorn.Server:
    """The server of :func:`run`."""
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
    """Takes few connections at once, and lets many wait: asyncio has one number for both."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(WAITING)


class _Lines(logging.Handler):
    """Hands errors on to our log, a line each."""

    def __init__(self, log: ErrorLog) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        line, _, _ = record.getMessage().partition("\n")
        exc = record.exc_info[1] if record.exc_info else None
        self._log.say(record.name, f"{line}: {type(exc).__name__}: {exc}" if exc else line)
