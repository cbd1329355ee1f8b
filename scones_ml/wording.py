"""Wording of counts and lists in messages and pages.

Internal: may change without notice.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["counted", "either", "listed", "share_hint"]


def counted(count: int, noun: str, plural: str = "") -> str:
    """``"1 image"``, ``"2,000 images"``.

    Args:
        count: the number.
        noun: the noun in the singular.
        plural: the noun in the plural; default: the singular and an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(names: Iterable[str], last: str = "and") -> str:
    """``"a, b and c"``.

    Args:
        names: any number of names.
        last: word before the last name.
    """
    *rest, end = list(names) or [""]
    return f"{', '.join(rest)} {last} {end}" if rest else end


def either(names: Iterable[str]) -> str:
    """``"a, b or c"``."""
    return listed(names, "or")


def share_hint(value: float) -> str:
    """``"did you mean 0.95?"`` for 95 in place of a share of 1; "" for other values."""
    return f"did you mean {value / 100:g}?" if 10 <= value <= 100 else ""
