"""The endpoint's process under clients that mean it ill: it answers the others, stays small, and says little."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

LARGE = 6_000_000


@dataclass(frozen=True)
class Server:
    """An endpoint's process.

    Attributes:
        port: that it listens on.
        pid: of the process.
        log: its standard error.
    """

    port: int
    pid: int
    log: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def most_memory(self) -> float:
        """Its peak in MB; on Linux alone."""
        with contextlib.suppress(FileNotFoundError):
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000
        return 0.0


@contextmanager
def serving(model: Path, folder: Path, files: str = "-S -n 1024") -> Iterator[Server]:
    """A server of its own that may open so many files, as ulimit has it."""
    limited = ["/bin/sh", "-c", f'ulimit {files}; exec "$@"', "sh"]
    command = [*limited, sys.executable, "-m", "scones_ml.inference", str(model), "--port", "0"]
    command += ["--captures", str(folder / "captures")]
    log = folder / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        try:
            server = Server(json.loads(process.stdout.readline())["port"], process.pid, log)
            while status(server, b"GET /ping HTTP/1.0\r\n\r\n") == 503:
                pass
            yield server
        finally:
            process.terminate()


def status(server: Server, request: bytes) -> int:
    with server.connect() as client:
        client.sendall(request)
        return int(client.makefile("rb").readline().split()[1])


def invocation(length: int, body: bytes) -> bytes:
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode() + body


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(buffer, "PNG")
    return invocation(buffer.tell(), buffer.getvalue())


def ask_at_once(server: Server, clients: int, requests: int) -> list[int]:
    """The statuses of so many requests of each of so many clients."""
    found: list[int] = []

    def ask() -> None:
        found.extend(status(server, picture()) for _ in range(requests))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_slow_clients_cost_the_others_nothing(tiny_model: Path, tmp_path: Path) -> None:
    """Beside 120 clients that are silent or half done, with 120 MB of bodies, eight busy ones get every answer."""
    kinds = [b"", b"POST /invocations HTTP/1.1\r\nHost: loc", invocation(LARGE, b"x" * (LARGE // 2))]
    with serving(tiny_model, tmp_path) as server, ExitStack() as open_:
        for number in range(120):
            client = open_.enter_context(server.connect())
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # the first large ones give way
                client.sendall(kinds[number % 3])
        assert ask_at_once(server, clients=8, requests=10) == [200] * 80
        assert server.most_memory() < 300
        assert server.log.read_bytes() == b""


def test_aborted_clients_leave_no_line(tiny_model: Path, tmp_path: Path) -> None:
    """Clients that reset their connection within a request, or before its answer, leave no line in the log."""
    reset = struct.pack("ii", 1, 0)
    with serving(tiny_model, tmp_path) as server:
        whole = picture()
        for cut in (1, 50, len(whole) - 1, len(whole)):
            for _ in range(10):
                with server.connect() as client:
                    client.sendall(whole[:cut])
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        assert ask_at_once(server, clients=2, requests=5) == [200] * 10
        assert server.log.read_bytes() == b""


@pytest.mark.parametrize("files", ["-n 64", "-S -n 64"])
def test_with_few_files_it_goes_on(tiny_model: Path, tmp_path: Path, files: str) -> None:
    """With 64 files and 200 silent connections, requests are answered and captured, and the log stays small."""
    with serving(tiny_model, tmp_path, files) as server, ExitStack() as open_:
        for _ in range(200):
            open_.enter_context(server.connect())
        assert ask_at_once(server, clients=4, requests=10) == [200] * 40
        assert server.log.read_bytes() == b""
    (file,) = (tmp_path / "captures").rglob("*.jsonl")
    assert len(file.read_text().splitlines()) == 40
