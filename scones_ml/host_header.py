"""The name in an HTTP request's Host header, with which local servers reject requests for other hosts.

In DNS rebinding, a web page's host name is made to resolve to this machine, so that the browser sends the page's
requests here; the header still contains that name.

Internal: may change without notice.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

__all__ = ["host_name", "is_loopback"]

_HOST: Final = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{0,5}))?")
_LARGEST_PORT: Final = 65_535


def host_name(host: str) -> str | None:
    """The name or address in a Host header, in lower case, without port and brackets; None if invalid."""
    match = _HOST.fullmatch(host)
    if match is None or int(match["port"] or 0) > _LARGEST_PORT:
        return None
    return (match["address"] or match["name"]).lower()


def is_loopback(name: str) -> bool:
    """Whether a name or address is a loopback one of this machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
