"""Latency of eight busy clients of the endpoint beside 500 half-open or slow connections.

Claims: with the slow ones the 99th percentile of the eight is at most 1.5 times what it is without them, and the
server's memory (``VmHWM``, its peak) is at most 300 MB. An unanswered request of the eight ends the benchmark.

Conditions: as ``benchmarks/serving.py``. A quarter of the slow clients send nothing, a quarter send a byte of the
headers twice a second, a quarter send half of a body of 6 MB and stop, a quarter send 4 kB of one twice a second.
Closed clients reconnect after five seconds. Rounds without and with them alternate in one server, each in short
windows; the lower quartile of the windows' percentiles is used, since other load on the machine only adds time.

    python benchmarks/slow_clients.py [--rounds N] [--windows N] [--slow N] [--model DIR] [--before PYTHON]

``--before`` measures an earlier version instead, installed in the environment of that Python. Exit code 1 if a claim
does not hold. The table goes to ``benchmarks/results/slow_clients.json``, except for an earlier version.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import resource
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

from benchmarks.serving import endpoint, http_request, load, percentile, prepare, running

_ROOT = Path(__file__).parents[1]
_RESULTS = _ROOT / "benchmarks" / "results" / "slow_clients.json"
_MOST_TIMES, _MOST_MB = 1.5, 300
_PAUSE: Final = 0.5  # seconds between two parts
_BACK: Final = 5.0  # seconds until a client that was closed comes back
_LARGE: Final = 6_000_000


@dataclass
class _Slow:
    """A slow client: the bytes that it sends at once, and those that it sends repeatedly."""

    first: bytes
    drop: bytes
    connection: socket.socket | None = None
    rest: memoryview = field(default_factory=lambda: memoryview(b""))
    back: float = 0.0


def _slow_clients(port: int, number: int) -> list[_Slow]:
    large = http_request(port, "/invocations", "image/png", b"x" * (_LARGE // 2))
    large = large.replace(b"Content-Length: %d" % (_LARGE // 2), b"Content-Length: %d" % _LARGE)
    head = large.partition(b"\r\n\r\n")[0]
    kinds = [(b"", b""), (head + b"\r\nX-Slow: ", b"x"), (large, b""), (head + b"\r\n\r\n", b"x" * 4_096)]
    return [_Slow(*kinds[index % len(kinds)]) for index in range(number)]


def be_slow(port: int, number: int, closed: Event) -> None:
    """Keep a number of slow connections open until ``closed`` is set."""
    clients, selector = _slow_clients(port, number), selectors.DefaultSelector()
    while not closed.is_set():
        now = time.monotonic()
        for client in clients:
            if client.connection is None and client.back <= now:
                _connect(client, port, selector)
            elif client.connection is not None and not client.rest and client.drop:
                client.rest = memoryview(client.drop)
        while (left := now + _PAUSE - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                _go_on(key.data, selector)
            for client in clients:
                if client.connection and client.rest:
                    _send(client, selector)
            time.sleep(0.05)


def _connect(client: _Slow, port: int, selector: selectors.BaseSelector) -> None:
    try:
        client.connection = socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        client.back = time.monotonic() + _BACK
        return
    client.connection.setblocking(False)
    client.rest = memoryview(client.first)
    selector.register(client.connection, selectors.EVENT_READ, client)


def _go_on(client: _Slow, selector: selectors.BaseSelector) -> None:
    """Read responses; return when the connection is closed."""
    assert client.connection is not None
    with contextlib.suppress(OSError):
        if client.connection.recv(4_096):
            return
    _close(client, selector)


def _send(client: _Slow, selector: selectors.BaseSelector) -> None:
    assert client.connection is not None
    try:
        client.rest = client.rest[client.connection.send(client.rest[:262_144]) :]
    except BlockingIOError:
        return
    except OSError:
        _close(client, selector)


def _close(client: _Slow, selector: selectors.BaseSelector) -> None:
    assert client.connection is not None
    selector.unregister(client.connection)
    client.connection.close()
    client.connection, client.rest, client.back = None, memoryview(b""), time.monotonic() + _BACK


@contextmanager
def slow_clients(port: int, number: int) -> Iterator[None]:
    """Run slow clients in a separate process."""
    context = multiprocessing.get_context("spawn")
    closed = context.Event()
    process = context.Process(target=be_slow, args=(port, number, closed))
    process.start()
    try:
        time.sleep(3)  # until all are there
        yield
    finally:
        closed.set()
        process.join()


def _memory_mb(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1000


def _windows(port: int, request: bytes, number: int) -> list[float]:
    return [percentile(load(port, request, 8, 1.0), 0.99) for _ in range(number)]


def main() -> int:
    """Print the table; return 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--windows", type=int, default=8, help="of one second, in each round")
    parser.add_argument("--slow", type=int, default=500, help="slow clients")
    parser.add_argument("--model", type=Path, help="a model's folder, with image.png beside it; else one is trained")
    parser.add_argument("--before", metavar="PYTHON", default="", help="of an environment with an earlier version")
    options = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files[1], max(files[0], 4_096)), files[1]))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model, image = (options.model, options.model.parent / "image.png") if options.model else prepare(folder)
        served = endpoint("this", model, image.read_bytes(), python=options.before)
        alone: list[float] = []
        beside: list[float] = []
        with running(served) as (port, pid, _):
            request = served.request(port)
            before = _memory_mb(pid, "VmRSS")
            for _ in range(options.rounds):
                alone += _windows(port, request, options.windows)
                with slow_clients(port, options.slow):
                    beside += _windows(port, request, options.windows)
            peak = _memory_mb(pid, "VmHWM")
    results = None if options.before else _RESULTS
    return _report(
        options.slow, percentile(sorted(alone), 0.25), percentile(sorted(beside), 0.25), before, peak, results
    )


def _report(slow: int, alone: float, beside: float, before: float, peak: float, results: Path | None) -> int:
    print(f"p99 of 8 busy clients: {alone:.2f} ms alone, {beside:.2f} ms beside {slow} slow ones")
    print(f"memory of the server: {before:.0f} MB at first, {peak:.0f} MB at most")
    claims = {
        f"at most {_MOST_TIMES} times: {beside / alone:.2f}": beside <= _MOST_TIMES * alone,
        f"at most {_MOST_MB} MB: {peak:.0f}": peak <= _MOST_MB,
    }
    for claim, holds in claims.items():
        print(f"{claim}: {'holds' if holds else 'does NOT hold'}")
    found = {"slow": slow, "p99_alone_ms": alone, "p99_beside_ms": beside, "memory_mb": peak, "claims": claims}
    if results:
        results.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(not all(claims.values()))


if __name__ == "__main__":
    sys.exit(main())
