"""Who may ask the endpoint: programs, and no page that a browser shows.

A browser sends what any web page asks for to any address, this machine's among them, and the page need not be able to
read the answer to do harm. Its requests are told by headers that no page can change: ``Host`` (a name that was made to
point here, DNS rebinding), ``Origin`` and ``Sec-Fetch-Site``. Programs (curl, boto3, the SageMaker SDK) send the
address that they were given as ``Host`` and none of the others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from scones_ml.host_header import host_name, is_loopback

__all__ = ["Callers"]


@dataclass(frozen=True, slots=True)
class Callers:
    """Whose requests are answered.

    Attributes:
        host: the address that the server was told to listen on. ``"0.0.0.0"`` and ``"::"`` stand for every name that
            the machine may have, as in a container: programs may call it anything, pages are refused all the same.
    """

    host: str = "127.0.0.1"

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request is refused; None when it may go on.

        Args:
            headers: the request's, by their names in lower case.
        """
        host = headers.get("host")
        known = host is None or self._is_this_server(host)  # without one: HTTP/1.0, which no browser speaks
        if not known and not _is_every_address(self.host):
            return f"the host {host!r:.100} is not this server: use 127.0.0.1, localhost or what --host says"
        origin = headers.get("origin")
        if origin is not None and not (known and origin == f"http://{host}"):
            return f"a request of the page {origin!r:.100}: web pages are not answered"
        site = headers.get("sec-fetch-site", "none")
        if site != "none" and not (known and site == "same-origin"):
            return "a request of another page: web pages are not answered"
        return None

    def _is_this_server(self, host: str) -> bool:
        name = host_name(host)
        return name is not None and (is_loopback(name) or _plain(name) == _plain(self.host))


def _plain(host: str) -> str:
    """One way to write an address or a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
