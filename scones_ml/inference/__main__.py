"""Serve one model: ``python -m scones_ml.inference MODEL --name NAME [--port N] [--captures DIR]``.

Binds 127.0.0.1 by default, and prints one JSON line with its port when it listens.
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
from scones_ml.inference.model import OnnxClassifier, load_classifier, read_card

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    options = _options(arguments)
    try:
        read_card(options.model)  # fail early, before the port is printed
        if options.hold:
            prove_life(options.hold, options.name)
        listener = listen(options.host, options.port)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)  # noqa: T201 - our starter waits for it
        if options.confirm and not sys.stdin.readline():  # the parent died before recording this process
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
    parser.add_argument("--name", default="scones", help="name of the endpoint")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="port; 0 for any free one")
    parser.add_argument("--captures", type=Path, help="folder for data capture")
    parser.add_argument("--capture-percentage", type=int, default=100, metavar="0..100")
    parser.add_argument("--hold", type=Path, metavar="FILE", help="lock this file, and stop when it is removed")
    parser.add_argument(
        "--confirm", action="store_true", help="start serving after a line on standard input; stop without one"
    )
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
    classifier = load_classifier(model)
    gc.freeze()  # exclude imported modules from collections, which would delay requests by 20 ms
    return classifier


if __name__ == "__main__":
    sys.exit(main())
