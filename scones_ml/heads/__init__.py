"""Heads: what is learned from feature vectors, and which of them are alike; numpy alone.

Internal: may change without notice.
"""

from __future__ import annotations

__all__: list[str] = []
