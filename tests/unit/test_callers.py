"""Who may ask the endpoint: programs may, pages in a browser may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.inference.callers import Callers

HERE = "127.0.0.1:8080"


@pytest.mark.parametrize(
    "host", [HERE, "localhost:8080", "localhost", "LOCALHOST:1", "127.0.0.1", "127.8.8.8:80", "[::1]:8080", "[::1]"]
)
def test_loopback_is_this_machine(host: str) -> None:
    """Every name and address of loopback is this server, with a port or without one."""
    assert Callers().refusal({"host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.1.7:8080",
        "0.0.0.0:8080",
        "evil@localhost",
        "localhost/x",
        "localhost:port",
        "[::1",
        "[::1].evil.example",
        "[::1]evil",
        "[127.0.0.1].evil.example:80",
        "::1",
        "localhost#evil.example",
        "localhost:99999",
        "localhost:\N{SUPERSCRIPT TWO}",
        "",
        " ",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    """A name that was made to point here (DNS rebinding) is refused, and whatever is no name at all."""
    assert "is not this server" in str(Callers().refusal({"host": host}))


def test_the_address_that_it_listens_on_is_its_name() -> None:
    """What --host says is let in beside loopback, and no other name."""
    callers = Callers("Models.internal")
    assert callers.refusal({"host": "models.internal:8080"}) is None
    assert callers.refusal({"host": HERE}) is None
    assert callers.refusal({"host": "other.internal:8080"})


def test_an_address_is_one_however_it_is_written() -> None:
    """An address of IPv6 that --host says is let in by any way of writing it."""
    callers = Callers("fd00:0:0::A")
    assert callers.refusal({"host": "[fd00::a]:8080"}) is None
    assert callers.refusal({"host": "[fd00::b]:8080"})


@pytest.mark.parametrize("every", ["0.0.0.0", "::"])
def test_in_a_container_it_has_any_name(every: str) -> None:
    """Where it listens on every address, programs call it what they like; a page that does is refused."""
    callers = Callers(every)
    assert callers.refusal({"host": "scones:8080"}) is None
    assert callers.refusal({"host": "rebound.example", "origin": "http://rebound.example"})
    assert callers.refusal({"host": "rebound.example", "sec-fetch-site": "same-origin"})
    assert callers.refusal({"host": HERE, "origin": "https://evil.example"})


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "https://127.0.0.1:8080"},
        {"origin": "http://localhost:8080"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "content-type": "text/plain"},
        {"sec-fetch-site": "anything"},
    ],
)
def test_pages_are_refused(headers: dict[str, str]) -> None:
    """A request that a page of any other origin makes is refused, be it a form, no-cors or another port's page."""
    assert "web pages are not allowed" in str(Callers().refusal({"host": HERE} | headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"user-agent": "curl/8.5.0", "accept": "*/*", "content-type": "image/png"},
        {"user-agent": "Boto3/1.44.5", "authorization": "AWS4-HMAC-SHA256 ...", "x-amz-date": "20261128T000000Z"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {"origin": f"http://{HERE}", "sec-fetch-site": "same-origin"},
    ],
)
def test_programs_are_answered(headers: dict[str, str]) -> None:
    """curl, boto3, the address bar and whoever is of this very origin are answered."""
    assert Callers().refusal({"host": HERE} | headers) is None


@given(st.text(), st.text())
def test_no_header_breaks_it(host: str, origin: str) -> None:
    """Whatever the headers hold, the answer is a reason of one line, and none is let in with a foreign origin."""
    reason = Callers().refusal({"host": host, "origin": origin})
    assert reason is None or (reason.isprintable() and len(reason) < 1_000)
    assert reason is not None or origin == f"http://{host}"
