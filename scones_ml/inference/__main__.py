"""Serve one model: ``python -m scones_ml.inference MODEL --name NAME [--port N] [--captures DIR]``.

Binds 127.0.0.1 unless told otherwise, and prints one JSON line with the port it got once it listens.
"""

from __future__ import annotations

import argparse
import gc
import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from scones_ml.captures import CaptureWriter
from scones_ml.errors import SconesError
from scones_ml.inference.listening import listen
from scones_ml.inference.liveness import prove_life
from scones_ml.inference.model import OnnxClassifier, load_model, read_card

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    options = _options(arguments)
    try:
        read_card(options.model)  # refused here, before a port is told
        if options.hold:
            prove_life(options.hold, options.name)
        listener = listen(options.host, options.port)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)  # noqa: T201 - our starter waits for it
        if options.confirm and not sys.stdin.readline():  # whoever started us died before we were on record
            return 1
        _serve(options, listener)
    except KeyboardInterrupt:
        return 0
    except SconesError as exc:
        print(f"scones: {exc}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scones_ml.inference", description=__doc__)
    parser.add_argument("model", type=Path, help="folder or model.tar.gz")
    parser.add_argument("--name", default="scones", help="the endpoint's name")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes any free one")
    parser.add_argument("--captures", type=Path, help="folder that data capture goes to")
    parser.add_argument("--capture-percentage", type=int, default=100, metavar="0..100")
    parser.add_argument("--hold", type=Path, metavar="FILE", help="lock this file, and end when it is removed")
    parser.add_argument("--confirm", action="store_true", help="serve when a line comes on standard input, end without")
    return parser.parse_args(arguments)


def _serve(options: argparse.Namespace, listener: socket.socket) -> None:
    from scones_ml.inference.callers import Callers
    from scones_ml.inference.capturing import CaptureOptions
    from scones_ml.inference.error_log import ErrorLog
    from scones_ml.inference.http_server import run
    from scones_ml.inference.server import application

    capture, log = None, ErrorLog()
    if options.captures is not None:
        writer = CaptureWriter(options.captures, options.name)
        capture = CaptureOptions(writer, options.capture_percentage)
    app = application(options.name, lambda: _loaded(options.model), capture, log)
    run(app, listener, Callers(options.host).refusal, log)


def _loaded(model: Path) -> OnnxClassifier:
    classifier = load_model(model)
    gc.freeze()  # what has been imported: looking through it takes 20 ms, while requests wait
    return classifier


if __name__ == "__main__":
    sys.exit(main())
