"""Timestamps in the format of Amazon States Language: RFC 3339 with an upper-case T and an offset."""

from __future__ import annotations

import datetime as dt
import functools
import re
import time

__all__ = ["format_timestamp", "parse_timestamp"]

_FORM = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")


@functools.lru_cache(maxsize=1024)
def parse_timestamp(timestamp: str) -> tuple[int, int]:
    """Seconds since 1970 UTC, and nanoseconds.

    Raises:
        ValueError: the format is not ``2026-11-23T09:35:10.25Z`` (or with ``+01:00``), or the date or time is invalid.
    """
    match = _FORM.fullmatch(timestamp)
    if match is None:
        raise ValueError(f"{timestamp!r} is not a timestamp such as 2026-11-23T09:35:10Z")
    moment = dt.datetime.fromisoformat(match[1] + match[3])
    return int(moment.timestamp()), int((match[2] or "0").ljust(9, "0"))


def format_timestamp(epoch: float) -> str:
    """Seconds since 1970 in AWS's format, ``2026-11-23T09:35:10.250Z``; a zero fraction is omitted."""
    seconds, milliseconds = divmod(int(epoch * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + (f".{milliseconds:03d}Z" if milliseconds else "Z")
