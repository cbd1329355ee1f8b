"""Protection of the endpoint against requests from web pages.

A browser sends the requests of any web page to any address, including this machine's, and a page can do harm without
reading the response. Such requests are recognised by headers that a page cannot change: ``Host`` (DNS rebinding),
``Origin`` and ``Sec-Fetch-Site``. Programs (curl, boto3, the SageMaker SDK) send the address they call as ``Host`` and
none of the others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from scones_ml.host_header import host_name, is_loopback

__all__ = ["Callers"]


@dataclass(frozen=True, slots=True)
class Callers:
    """Rules for accepted callers.

    Attributes:
        host: address that the server listens on. ``"0.0.0.0"`` and ``"::"`` accept every host name, as needed in a
            container; web pages are still rejected.
    """

    host: str = "127.0.0.1"

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Reason to reject a request; None to accept it.

        Args:
            headers: headers of the request, by lower-case name.
        """
        host = headers.get("host")
        known = host is None or self._is_this_server(host)  # without Host: HTTP/1.0, which browsers do not use
        if not known and not _is_every_address(self.host):
            return f"the host {host!r:.100} is not this server: use 127.0.0.1, localhost or the address of --host"
        origin = headers.get("origin")
        if origin is not None and not (known and origin == f"http://{host}"):
            return f"a request from the page {origin!r:.100}: web pages are not allowed"
        site = headers.get("sec-fetch-site", "none")
        if site != "none" and not (known and site == "same-origin"):
            return "a request from another page: web pages are not allowed"
        return None

    def _is_this_server(self, host: str) -> bool:
        name = host_name(host)
        return name is not None and (is_loopback(name) or _plain(name) == _plain(self.host))


def _plain(host: str) -> str:
    """Canonical form of an address or a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
