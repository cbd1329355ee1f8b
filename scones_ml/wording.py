"""Counts and lists in words, as everything that people read has them.

Internal: may change without notice.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["counted", "either", "listed", "share_hint"]


def counted(count: int, noun: str, plural: str = "") -> str:
    """``"1 image"``, ``"2,000 images"``.

    Args:
        count: how many.
        noun: for one of them.
        plural: for any other number; by default the noun and an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(names: Iterable[str], last: str = "and") -> str:
    """``"a, b and c"``.

    Args:
        names: of any number.
        last: stands before the last one.
    """
    *rest, end = list(names) or [""]
    return f"{', '.join(rest)} {last} {end}" if rest else end


def either(names: Iterable[str]) -> str:
    """``"a, b or c"``."""
    return listed(names, "or")


def share_hint(value: float) -> str:
    """``"did you mean 0.95?"`` for 95 where a share of 1 is asked for; "" for what is no percentage."""
    return f"did you mean {value / 100:g}?" if 10 <= value <= 100 else ""
