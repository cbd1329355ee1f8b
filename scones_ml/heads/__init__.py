"""Heads: classifiers of feature vectors, in numpy alone."""

from __future__ import annotations

__all__: list[str] = []
