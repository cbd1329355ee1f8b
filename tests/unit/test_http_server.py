"""The endpoint's HTTP server with small limits: what it reads, what it refuses, whom it closes, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import json
import select
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scones_ml.errors import DeploymentError
from scones_ml.inference.client_limits import Limits
from scones_ml.inference.connection import ALONE
from scones_ml.inference.error_log import ErrorLog
from scones_ml.inference.gate import Gate
from scones_ml.inference.http_server import server as server_of
from scones_ml.inference.listening import listen

QUICK = Limits(20, 1_000, 100, 10_000, 50_000, 0.3, 0.3, 0.3, 0.3, 0.5)
PATIENT = Limits(
    connections=20, head_bytes=1_000, body_bytes=10_000, held_bytes=50_000, linger_seconds=0.3, stop_seconds=0.3
)


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as one:
        one.bind(("::1", 0))
        return True
    return False


@dataclass
class Lines(ErrorLog):
    """A log that is kept."""

    said: list[str] = field(default_factory=list)

    def say(self, kind: str, line: str) -> None:
        self.said.append(line)


@dataclass
class Served:
    """A server under test.

    Attributes:
        port: that it listens on.
        server: uvicorn's.
        log: what it said.
        asked: the bodies that its application was asked with.
        alone: whether each client was said to be the only one.
        go: the application waits for it on /wait.
    """

    port: int
    server: uvicorn.Server
    log: Lines
    asked: list[bytes] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(writer)
        return reader, writer

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request on a connection of its own; the answer."""
        reader, writer = await self.connect()
        writer.write(request)
        answer = await answer_from(reader)
        writer.close()
        return answer


def post(body: bytes = b"", path: str = "/echo", headers: str = "", version: str = "1.1") -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def answer_from(reader: asyncio.StreamReader, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]) if body else 0)


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the server closes the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""


@contextlib.asynccontextmanager
async def served(
    limits: Limits = PATIENT, refusal: Callable[[Mapping[str, str]], str | None] = lambda _: None
) -> AsyncIterator[Served]:
    listener = listen("127.0.0.1", 0)

    async def echo(request: Request) -> Response:
        body = await request.body()
        made.asked.append(body)
        made.alone.append(ALONE in request.scope["extensions"])
        return JSONResponse({"bytes": len(body), "method": request.method, "path": request.url.path})

    async def wait(request: Request) -> Response:
        made.asked.append(await request.body())
        await made.go.wait()
        return JSONResponse({})

    async def broken(_request: Request) -> Response:
        raise MemoryError("no\nroom")

    async def failed(_request: Request, _exc: Exception) -> Response:
        return JSONResponse({"message": "failed"}, 500)

    routes = [Route("/echo", echo, methods=["GET", "POST"]), Route("/wait", wait, methods=["POST"])]
    routes = [*routes, Route("/broken", broken, methods=["POST"])]
    app = Starlette(routes=routes, exception_handlers={Exception: failed})
    log = Lines()
    made = Served(listener.getsockname()[1], server_of(app, refusal, log, limits), log)
    task = asyncio.create_task(made.server.serve(sockets=[listener]))
    try:
        yield made
    finally:
        made.go.set()
        made.server.should_exit = True
        await asyncio.wait_for(task, 20)
        for writer in made.clients:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def check(scenario: Callable[[Served], Awaitable[None]], limits: Limits = PATIENT) -> Served:
    async def run() -> Served:
        async with served(limits) as server:
            await scenario(server)
        return server

    return asyncio.run(run())


REQUESTS: list[tuple[bytes, dict[str, object]]] = [
    (post(b"12345"), {"bytes": 5, "method": "POST", "path": "/echo"}),
    (
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        {"bytes": 5, "method": "POST", "path": "/echo"},
    ),
    (b"GET /echo HTTP/1.0\r\n\r\n", {"bytes": 0, "method": "GET", "path": "/echo"}),
    (b"GET /%65cho?a=b HTTP/1.1\r\nHost: x\r\n\r\n", {"bytes": 0, "method": "GET", "path": "/echo"}),
    (b"GET http://x/echo HTTP/1.1\r\nHost: x\r\n\r\n", {"bytes": 0, "method": "GET", "path": "/echo"}),
    (
        b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABk\r\n\r\n",
        {"bytes": 0, "method": "GET", "path": "/echo"},
    ),
    (
        post(b"12345", headers="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
        {"bytes": 5, "method": "POST", "path": "/echo"},
    ),
    (
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nHost: evil\r\n\r\n",
        {"bytes": 3, "method": "POST", "path": "/echo"},
    ),
]


def test_requests_are_read_as_http_has_them() -> None:
    """A body of known length or in chunks, HTTP/1.0, escaped and absolute targets and an offer of HTTP/2 are read."""

    async def scenario(server: Served) -> None:
        for request_, body in REQUESTS:
            status, _, answer = await server.ask(request_)
            assert (status, json.loads(answer)) == (200, body), request_

    check(scenario)


def test_a_connection_serves_one_request_after_the_other() -> None:
    """Three requests on one connection are answered in turn; the third asks to close, and it is closed."""

    async def scenario(server: Served) -> None:
        reader, writer = await server.connect()
        for size in (1, 2_000):
            writer.write(post(b"x" * size))
            status, headers, body = await answer_from(reader)
            assert (status, json.loads(body)["bytes"], "connection" in headers) == (200, size, False)
        writer.write(post(b"", headers="Connection: close\r\n"))
        assert (await answer_from(reader))[1]["connection"] == "close"
        assert await closed(reader) == b""

    check(scenario)


def test_a_client_that_is_alone_is_known() -> None:
    """The application is told that nobody else is connected, and no longer when somebody is."""

    async def scenario(server: Served) -> None:
        reader, writer = await server.connect()
        for others in range(2):
            writer.write(post(b"x"))
            await answer_from(reader)
            assert server.alone == [True, False][: others + 1]
            other, second = await server.connect()
            second.write(post(b"y"))  # its connection is known once it is answered
            await answer_from(other)
            server.alone.pop()

    check(scenario)


def test_head_has_no_body() -> None:
    """HEAD gets the headers of GET alone, and the connection goes on."""

    async def scenario(server: Served) -> None:
        reader, writer = await server.connect()
        for _ in range(2):
            writer.write(b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers, _ = await answer_from(reader, body=False)
            assert (status, headers["content-length"]) == (200, "42")

    check(scenario)


def test_what_comes_before_its_turn_is_not_read() -> None:
    """Of ten requests sent at once the first is answered, and the connection closes: the client asks again."""

    async def scenario(server: Served) -> None:
        reader, writer = await server.connect()
        writer.write(post(b"1") * 10)
        status, headers, _ = await answer_from(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await closed(reader) == b""
        assert server.asked == [b"1"]

    check(scenario)


def test_a_client_may_ask_before_it_sends() -> None:
    """Expect: 100-continue is answered before the body comes, or with the refusal of what is too large."""

    async def scenario(server: Served) -> None:
        reader, writer = await server.connect()
        head, _, body = post(b"12345", headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await answer_from(reader))[0] == 200
        status, _, _ = await server.ask(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10001\r\n\r\n"
        )
        assert status == 413

    check(scenario)


CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED = [
    (b"nothing of the kind\r\n\r\n", 400),
    (b"GET /echo HTTP/1.1\r\n\r\n", 400),
    (b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"GET http://evil/echo HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET http://x@y/echo HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"GET /echo HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    (CHUNKED + b"1;" + b"a" * 300_000, 431),
    (CHUNKED + b"1\r\nx\r\n0\r\n" + b"a: b\r\n" * 50_000, 431),
    (CHUNKED + b"1\r\nx\r\n0\r\na: " + b"b" * 300_000, 431),
    (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /" + b"a" * 1_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\na: " + b"b" * 1_000 + b"\r\n\r\n", 431),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\na: " + b"b" * 1_100, 431),
    (b"\r\n" * 600, 431),
    (post(b"x" * 10_001), 413),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2800\r\n" + b"x" * 10_240, 413),
    (b"POST /broken HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 500),
]


def test_what_is_no_request_is_refused() -> None:
    """What is no HTTP, smuggles, or is too large gets a status and a JSON message; only a failure of ours is logged."""

    async def scenario(server: Served) -> None:
        for request_, status in REFUSED:
            got, _, body = await server.ask(request_)
            assert (got, list(json.loads(body))) == (status, ["message"]), request_

    assert check(scenario).log.said == ["Exception in ASGI application: MemoryError: no\nroom"]


def test_a_length_may_have_any_number_of_zeros() -> None:
    """More digits than Python makes a number of are still a length."""

    async def scenario(server: Served) -> None:
        request = post(b"12345").replace(b"Length: ", b"Length: " + b"0" * 5_000)
        assert json.loads((await server.ask(request))[2])["bytes"] == 5

    check(scenario, dataclasses.replace(PATIENT, head_bytes=8_000))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems let fewer wait")
def test_many_may_wait_to_be_accepted() -> None:
    """200 connections that come while the server is busy are all accepted at once, none after a second's wait."""

    async def scenario(server: Served) -> None:
        await server.ask(post())  # it runs
        clients = [socket.socket() for _ in range(200)]
        for client in clients:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", server.port))
        _, writable, _ = select.select([], clients, [], 0)
        assert len(writable) == 200
        for client in clients:
            client.close()

    check(scenario)


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
def test_it_listens_on_ipv6() -> None:
    """An address of IPv6 is listened on and answered; "::" takes IPv4, too; what is no address here is one line."""
    with contextlib.closing(listen("::", 0)) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 10).close()
    with pytest.raises(DeploymentError, match=r"192\.0\.2\.1 is not an address of this machine"):
        listen("192.0.2.1", 0)
    with pytest.raises(DeploymentError, match=r"cannot listen on x+: choose another --host"):
        listen("x" * 64, 0)


def test_a_refused_upload_learns_why() -> None:
    """A client that sends 5 MB before it reads anything still reads the refusal, and nothing of it is kept."""

    async def scenario(server: Served) -> None:
        def upload() -> bytes:
            with socket.create_connection(("127.0.0.1", server.port), 10) as client:
                client.sendall(post(b"x" * 5_000_000))
                return client.recv(100)

        assert (await asyncio.to_thread(upload)).startswith(b"HTTP/1.1 413 ")
        assert server.asked == []

    check(scenario)


def test_a_refusal_comes_before_the_body() -> None:
    """What the headers rule out is answered at once, without its body."""

    async def run() -> None:
        async with served(refusal=lambda headers: headers.get("origin")) as server:
            reader, writer = await server.connect()
            writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nOrigin: a page\r\nContent-Length: 9\r\n\r\n")
            status, _, body = await answer_from(reader)
            assert (status, json.loads(body)) == (403, {"message": "a page"})
            writer.write(b"123456789")
            assert await closed(reader) == b""
            assert server.asked == []

    asyncio.run(run())


SLOW: list[tuple[bytes, int | None]] = [
    (b"", None),
    (b"\r\n", None),
    (b"POST /echo HT", 408),
    (post(b"12345")[:-1], 408),
    (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", 408),
]


def test_slow_clients_are_closed() -> None:
    """A connection that says nothing, half a head or half a body is closed when its time is over."""

    async def scenario(server: Served) -> None:
        async def one(sent: bytes, status: int | None) -> None:
            reader, writer = await server.connect()
            writer.write(sent)
            rest = await closed(reader)
            assert rest.startswith(f"HTTP/1.1 {status} ".encode()) if status else rest == b"", sent

        await asyncio.gather(*(one(*case) for case in SLOW))

    assert check(scenario, QUICK).log.said == []


def test_an_idle_connection_is_closed() -> None:
    """After an answer, a connection stays for a while and is then closed."""

    async def scenario(server: Served) -> None:
        reader, writer = await server.connect()
        writer.write(post())
        assert (await answer_from(reader))[0] == 200
        assert await closed(reader) == b""

    check(scenario, QUICK)


def test_drops_do_not_extend_the_time() -> None:
    """A client that sends a byte now and then has no more time than one that sends none."""

    async def scenario(server: Served) -> None:
        reader, writer = await server.connect()
        writer.write(post(b"x" * 1_000)[:-1_000])

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        assert (await answer_from(reader))[0] == 408
        dripping.cancel()

    check(scenario, QUICK)


def test_room_is_made_for_whoever_asks() -> None:
    """With all connections taken by clients that say nothing, a new one is answered: the oldest gives way."""

    async def scenario(server: Served) -> None:
        silent = [await server.connect() for _ in range(20)]
        assert (await server.ask(post(b"1")))[0] == 200
        assert await closed(silent[0][0]) == b""
        for _, writer in silent[1:]:
            writer.write(post(b"2"))
        assert {(await answer_from(reader))[0] for reader, _ in silent[1:]} == {200}

    check(scenario)


def test_requests_under_way_do_not_give_way() -> None:
    """When every connection waits for an answer, one more is closed, and all of them are answered."""

    async def scenario(server: Served) -> None:
        waiting = [await server.connect() for _ in range(20)]
        for _, writer in waiting:
            writer.write(post(b"1", "/wait"))
        while len(server.asked) < 20:
            await asyncio.sleep(0)
        reader, _ = await server.connect()
        assert await closed(reader) == b""
        server.go.set()
        assert {(await answer_from(reader))[0] for reader, _ in waiting} == {200}

    check(scenario)


def test_bytes_of_all_bodies_are_bounded() -> None:
    """Ten half-sent bodies are more than may be held: the oldest are refused, and a whole one is answered."""

    async def scenario(server: Served) -> None:
        slow = [await server.connect() for _ in range(10)]
        for _, writer in slow:
            writer.write(post(b"x" * 9_000)[:-1])
        assert (await server.ask(post(b"x" * 9_000)))[0] == 200
        refused = [await answer_from(reader) for reader, _ in slow[:5]]
        assert {(status, json.loads(body)["message"]) for status, _, body in refused} == {
            (503, "too much data is being received: try again later")
        }
        slow[-1][1].write(b"x")
        assert (await answer_from(slow[-1][0]))[0] == 200

    check(scenario)


def test_clients_that_leave_leave_nothing() -> None:
    """Clients that go at any moment, with a reset or without, cause no line and hold no byte."""

    async def scenario(server: Served) -> None:
        whole = post(b"x" * 5_000)
        for cut in (0, 1, 20, len(whole) - 1, len(whole)):
            for _ in range(20):
                _, writer = await server.connect()
                writer.write(whole[:cut])
                await writer.drain()
                writer.transport.abort()
        slow = [await server.connect() for _ in range(4)]
        for _, writer in slow:
            writer.write(post(b"x" * 10_000)[:-1])
        assert (await server.ask(post(b"1")))[0] == 200
        for reader, writer in slow:  # of 50,000 bytes none is held by those that left
            writer.write(b"x")
            assert (await answer_from(reader))[0] == 200

    assert check(scenario).log.said == []


def test_a_client_that_takes_no_answer_is_closed() -> None:
    """One that sends requests and never reads is not read from for ever."""

    async def scenario(server: Served) -> None:
        def pour() -> None:
            with socket.create_connection(("127.0.0.1", server.port), 10) as client:
                while True:
                    client.sendall(post(b""))

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await asyncio.to_thread(pour)

    check(scenario, QUICK)


def test_what_goes_wrong_is_one_line() -> None:
    """What the loop reports, a connection that could not be accepted for want of files, is a line without traceback."""

    async def scenario(_server: Served) -> None:
        exc = OSError(errno.EMFILE, "Too many open files")
        what = {"message": "socket.accept() out of system resource", "exception": exc, "socket": "a socket"}
        asyncio.get_running_loop().call_exception_handler(what)

    assert check(scenario).log.said == [
        f"socket.accept() out of system resource: OSError: [Errno {errno.EMFILE}] Too many open files"
    ]


def test_a_client_may_end_its_side() -> None:
    """A client that sends a request and then its end, as nc does, gets its answer; one that ends before gets none."""

    async def scenario(server: Served) -> None:
        for request, status in (
            (post(b"1"), b"HTTP/1.1 200 "),
            (post(b"1", "/wait"), b"HTTP/1.1 200 "),
            (post(b"1")[:-1], b""),
        ):
            reader, writer = await server.connect()
            writer.write(request)
            writer.write_eof()
            server.go.set()
            assert (await closed(reader))[:13] == status

    assert check(scenario).log.said == []


def test_what_is_under_way_is_answered_before_the_end() -> None:
    """Stopped, it answers the request under way and the one that is still coming, and takes no new one."""

    async def run() -> None:
        async with served() as server:
            waiting, sending, idle = [await server.connect() for _ in range(3)]
            waiting[1].write(post(b"1", "/wait"))
            sending[1].write(post(b"12345")[:-1])
            idle[1].write(post())
            await answer_from(idle[0])
            while len(server.asked) < 2:
                await asyncio.sleep(0)
            server.server.should_exit = True
            assert await closed(idle[0]) == b""
            with pytest.raises(ConnectionRefusedError):
                await server.connect()
            sending[1].write(b"5")
            server.go.set()
            for reader, _ in (sending, waiting):
                status, headers, _ = await answer_from(reader)
                assert (status, headers["connection"]) == (200, "close")

    asyncio.run(run())


def test_nobody_keeps_it_from_ending() -> None:
    """A client that never finishes its request does not keep the server."""

    async def scenario(server: Served) -> None:
        _, writer = await server.connect()
        writer.write(post(b"12345")[:-1])
        await server.ask(post())
        server.server.should_exit = True

    check(scenario, QUICK)


def test_half_a_head_does_not_either() -> None:
    """Stopped while a client is in the midst of its headers, it refuses it, ends in time, and has nothing to say."""

    async def scenario(server: Served) -> None:
        reader, writer = await server.connect()
        writer.write(post(b"12345")[:20])
        await server.ask(post())
        server.server.should_exit = True
        assert (await answer_from(reader))[0] == 408
        writer.close()

    assert check(scenario).log.said == []


def connection_of(server: uvicorn.Server, transport: asyncio.Transport) -> Any:
    """A connection of a server that does not listen."""
    server.config.load()
    made: Any = server.config.http_protocol_class
    connection = made(config=server.config, server_state=server.server_state, app_state={})
    connection.connection_made(transport)
    return connection


def test_a_client_that_does_not_take_an_answer_is_closed() -> None:
    """With answers that it does not take, a connection is closed in a while, be the next request whole or not."""

    async def run(part: bytes) -> None:
        transport = FakeTransport()
        connection = connection_of(server_of(Starlette(), lambda _: None, Lines(), QUICK), transport)
        connection.data_received(post())
        while not transport.written:
            await asyncio.sleep(0)
        connection.pause_writing()
        connection.data_received(part)
        async with asyncio.timeout(10):
            while transport.open:
                await asyncio.sleep(0.01)
        connection.connection_lost(None)

    for part in (b"", post(), post(b"12345")[:-1]):
        asyncio.run(run(part))


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.open = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return not self.open

    def close(self) -> None:
        self.open = False

    abort = close


@given(
    st.lists(
        st.one_of(
            st.sampled_from([post(b"12345"), post(b"12345")[:-2], b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"]),
            st.binary(max_size=60),
        ),
        max_size=4,
    ),
    st.lists(st.integers(1, 40), max_size=8),
)
def test_whatever_comes_no_byte_stays(parts: list[bytes], cuts: list[int]) -> None:
    """Requests, halves of them and noise, cut anywhere: no exception, and nothing is held when the client is gone."""

    async def run() -> None:
        async def app(scope: object, receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

        log, transport = Lines(), FakeTransport()
        server = server_of(app, lambda _: None, log, PATIENT)
        connection = connection_of(server, transport)
        rest = b"".join(parts)
        for cut in [*cuts, len(rest)]:
            if rest and transport.open:
                connection.data_received(rest[:cut])
            rest = rest[cut:]
            await asyncio.sleep(0)
        connection.connection_lost(None)
        while server.server_state.tasks:
            await asyncio.sleep(0)
        assert isinstance(server.config.app, Gate)
        assert (len(server.server_state.connections), server.config.app.held, log.said) == (0, 0, [])
        assert transport.written[:9] in (b"", b"HTTP/1.1 ")

    asyncio.run(run())
