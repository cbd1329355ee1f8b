"""Latency of the endpoint, compared with other servers of the same ONNX file.

Claims: with one connection the median is at most LitServe's (0.2.19, where ``--litserve`` names its Python), and at
most 0.6 ms above that of the model in this process.

Conditions: one image of 32 pixels as PNG, 2.6 kB, and a model of the recipe ``scratch``, ONNX Runtime with one thread;
persistent plain sockets, loopback, no captures unless stated. All servers run at once and are measured in short turns,
over one connection and over eight; the best turn is used, since other load on the machine only adds time. LitServe gets
the image in base64, since it accepts JSON or forms. ``/ping`` is the server without the model.

    python benchmarks/serving.py [--turns N] [--seconds S] [--before PYTHON] [--litserve PYTHON] [--model DIR]
    python benchmarks/serving.py --core 1 ...         # all processes of a server on one core

``--before`` is the Python of an environment with an earlier version of this package. Exit code 1 if a claim does
not hold. The table goes to ``benchmarks/results/serving.json``, or ``serving_one_core.json``.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from scones_ml import dataset
from scones_ml.inference.model import load_classifier
from scones_ml.local.backend import LocalBackend
from scones_ml.ports import TrainingRequest

_ROOT = Path(__file__).parents[1]
_RESULTS = _ROOT / "benchmarks" / "results"
_MOST_ABOVE = 0.6  # milliseconds above the model in this process
_PINNED: list[str] = []  # what commands start with
_WARM = 50  # requests of each connection
_PORTS = count(20_000 + os.getpid() % 8_000)  # below those that a system gives to clients
_LITSERVE = """
import base64, io, sys
import litserve, numpy, onnxruntime
from PIL import Image

class Api(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[2], options)
        self.name, self.size = self.session.get_inputs()[0].name, int(sys.argv[3])
    def decode_request(self, request):
        image = Image.open(io.BytesIO(base64.b64decode(request["image"]))).convert("RGB")
        return numpy.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC))[None]
    def predict(self, pixels):
        return self.session.run(None, {self.name: pixels})[0][0]
    def encode_response(self, output):
        return output.tolist()

if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/invocations"), accelerator="cpu", healthcheck_path="/ping")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="error",
               generate_client_file=False)
"""


@dataclass(frozen=True)
class Served:
    """A server with its command and its request.

    Attributes:
        name: in the table.
        command: starts it on a port.
        request: what it is asked, given the port.
        environment: variables in addition.
    """

    name: str
    command: Callable[[int], list[str]]
    request: Callable[[int], bytes]
    environment: dict[str, str]


@dataclass(frozen=True)
class Row:
    """Milliseconds and requests a second.

    Attributes:
        server: its name.
        connections: at once.
        p50: median.
        p99: of a hundred, one takes longer.
        rate: requests a second.
        start_ms: from the process's start to its first answer.
    """

    server: str
    connections: int
    p50: float
    p99: float
    rate: float
    start_ms: float


def http_request(port: int, path: str, content_type: str, body: bytes, method: str = "POST") -> bytes:
    """A client's HTTP request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def ask(client: socket.socket, request: bytes) -> None:
    """Send a request and read the response, whose status must be 200."""
    client.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = client.recv(65_536)
        if not part:
            raise ConnectionError("the server closed the connection")
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(answer.decode("latin-1"))
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(headers[b"content-length"]) - len(body)
    while left > 0:
        left -= len(client.recv(65_536))


def load(port: int, request: bytes, connections: int, seconds: float) -> list[float]:
    """Send requests over so many connections for so many seconds; return sorted milliseconds per request."""
    found: list[float] = []
    failed: list[Exception] = []

    def client() -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), 30) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(_WARM):
                    ask(connection, request)
                now, end = time.perf_counter(), time.perf_counter() + seconds
                while now < end:
                    ask(connection, request)
                    then, now = now, time.perf_counter()
                    found.append((now - then) * 1000)
        except (OSError, ValueError) as exc:
            failed.append(exc)

    clients = [threading.Thread(target=client) for _ in range(connections)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if failed:
        raise failed[0]
    return sorted(found)


def percentile(values: list[float], share: float) -> float:
    """A quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


@contextmanager
def running(served: Served) -> Iterator[tuple[int, int, float]]:
    """Start a server; return its port, its process and the milliseconds until the first response."""
    port = next(_PORTS)
    began = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | served.environment
    process = subprocess.Popen(
        [*_PINNED, *served.command(port)],
        env=environment,
        cwd="/",  # a folder with a package of the same name would come first
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 30) as client:
                    ask(client, served.request(port))
                break
            except OSError as exc:
                if process.poll() is not None or time.perf_counter() - began > 90:
                    raise RuntimeError(f"{served.name} does not answer") from exc
                time.sleep(0.005)
        yield port, process.pid, (time.perf_counter() - began) * 1000
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def prepare(folder: Path) -> tuple[Path, Path]:
    """A model of one epoch, and one of its training images."""
    data = dataset.stage(dataset.Synthetic(per_class=60, size=32), folder / "data").dataset
    request = TrainingRequest(data=data.root, model=folder / "model", recipe="scratch", epochs=1)
    LocalBackend(folder / "workspace").trainer.train(request)
    return folder / "model", data.root / data.records[0].path


def endpoint(name: str, model: Path, image: bytes, captures: Path | None = None, python: str = "") -> Served:
    """Our server, from this checkout or from the environment of another Python."""

    def command(port: int) -> list[str]:
        started = [python or sys.executable, "-m", "scones_ml.inference", str(model.absolute()), "--port", str(port)]
        return started + (["--captures", str(captures)] if captures else [])

    def request(port: int) -> bytes:
        return http_request(port, "/invocations", "image/png", image)

    return Served(name, command, request, {"PYTHONPATH": "" if python else str(_ROOT)})


def _litserve(python: str, folder: Path, model: Path, image: bytes) -> Served:
    script = folder / "litserve_endpoint.py"
    script.write_text(_LITSERVE, encoding="utf-8")
    size = str(load_classifier(model).card.input_size)
    body = json.dumps({"image": base64.b64encode(image).decode()}).encode()
    return Served(
        "LitServe",
        lambda port: [python, str(script), str(port), str(model.absolute() / "model.onnx"), size],
        lambda port: http_request(port, "/invocations", "application/json", body),
        {"PYTHONPATH": ""},
    )


def _ping(served: Served) -> Served:
    return Served(
        f"{served.name}, /ping",
        served.command,
        lambda port: http_request(port, "/ping", "text/plain", b"", "GET"),
        served.environment,
    )


def _turn(served: Served, port: int, start: float, seconds: float) -> list[Row]:
    rows = []
    for connections in (1, 8):
        times = load(port, served.request(port), connections, seconds)
        rate = connections * 1000 / statistics.fmean(times)
        rows.append(Row(served.name, connections, statistics.median(times), percentile(times, 0.99), rate, start))
    return rows


def _best(rows: list[Row]) -> Row:
    p50, p99, start = (min(getattr(row, name) for row in rows) for name in ("p50", "p99", "start_ms"))
    rate = max(row.rate for row in rows)
    return Row(rows[0].server, rows[0].connections, round(p50, 3), round(p99, 3), round(rate), round(start))


def _start_ms(served: Served) -> float:
    with running(served) as (_, _, start):
        return start


def _in_process(model: Path, image: bytes) -> float:
    loaded, times = load_classifier(model), []
    for _ in range(200):
        began = time.perf_counter()
        loaded.predict(image)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _servers(options: argparse.Namespace, folder: Path, model: Path, image: bytes) -> list[Served]:
    this = endpoint("this", model, image)
    servers = [this, endpoint("this, captured", model, image, captures=folder / "captures"), _ping(this)]
    if options.before:
        before = endpoint("before", model, image, python=options.before)
        servers += [before, _ping(before)]
    return servers + ([_litserve(options.litserve, folder, model, image)] if options.litserve else [])


def _report(rows: list[Row], floor: float) -> int:
    print(f"{'milliseconds':<18}{'connections':>12}{'p50':>8}{'p99':>8}{'a second':>10}{'start':>8}")
    for row in rows:
        print(f"{row.server:<18}{row.connections:>12}{row.p50:8.2f}{row.p99:8.2f}{row.rate:10.0f}{row.start_ms:8.0f}")
    print(f"{'in this process':<18}{'':>12}{floor:8.2f}")
    p50 = {(row.server, row.connections): row.p50 for row in rows}
    above = p50["this", 1] - floor
    claims = [(f"at most {_MOST_ABOVE} ms above the model in this process: {above:.2f}", above <= _MOST_ABOVE)]
    if ("LitServe", 1) in p50:
        share = p50["this", 1] / p50["LitServe", 1]
        claims.append((f"at most LitServe's median: {share:.2f} times", share <= 1))
    for claim, holds in claims:
        print(f"{claim}: {'holds' if holds else 'does NOT hold'}")
    found = {"in_process_ms": round(floor, 3), "rows": [asdict(row) for row in rows], "claims": dict(claims)}
    file = _RESULTS / ("serving_one_core.json" if _PINNED else "serving.json")
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(not all(holds for _, holds in claims))


def main() -> int:
    """Print the table; return 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn and number of connections")
    parser.add_argument("--before", metavar="PYTHON", help="of an environment with an earlier version")
    parser.add_argument("--litserve", metavar="PYTHON", help="of an environment with LitServe and ONNX Runtime")
    parser.add_argument("--model", type=Path, help="a model's folder, with image.png beside it; else one is trained")
    parser.add_argument("--core", help="each server's only one, a number; Linux alone")
    options = parser.parse_args()
    _PINNED.extend(["taskset", "--cpu-list", options.core] if options.core else [])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model, image = (options.model, options.model.parent / "image.png") if options.model else prepare(folder)
        servers = _servers(options, folder, model, image.read_bytes())
        starts = {served.name: min(_start_ms(served) for _ in range(3)) for served in servers}
        found: dict[tuple[str, int], list[Row]] = {}
        floors = []
        with ExitStack() as stack:
            ports = [stack.enter_context(running(served))[0] for served in servers]
            for _ in range(options.turns):
                floors.append(_in_process(model, image.read_bytes()))
                for served, port in zip(servers, ports, strict=True):
                    for row in _turn(served, port, starts[served.name], options.seconds):
                        found.setdefault((row.server, row.connections), []).append(row)
    return _report([_best(rows) for rows in found.values()], min(floors))


if __name__ == "__main__":
    sys.exit(main())
