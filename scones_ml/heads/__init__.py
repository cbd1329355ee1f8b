"""Classifiers on feature vectors, and similarity of feature vectors; numpy only.

Internal: may change without notice.
"""

from __future__ import annotations

__all__: list[str] = []
