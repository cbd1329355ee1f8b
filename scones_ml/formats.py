"""The format of the files that outlive a version: model.json, dataset.json, reference.json, the ledger, a workspace.

======  ==========  ===============================================================================================
format  written by  what is new
======  ==========  ===============================================================================================
1       0.1.0       files carry no ``format``
2       0.2.0       ``started_from`` is ``base_model``, ``grown_from`` is ``extended_from``; a workspace has a marker;
                    ``policy`` of images, 1 where it is missing
======  ==========  ===============================================================================================

A reader takes every format up to its own, a renamed field under each of its names, and ignores fields that it does not
know: a field that can be ignored is added without a new format. A file of a newer format is refused in one line. Files
are written in the newest format only.

Internal: may change without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scones_ml import __version__

__all__ = ["FORMAT", "MADE_BY", "newer_format"]

FORMAT: Final = 2  # the last row of the table above
MADE_BY: Final = f"scones_ml {__version__}"


def newer_format(file: str, document: Mapping[str, object]) -> str | None:
    """The error line for a document of a format that this version cannot read; None when it can.

    Args:
        file: what the line calls the document.
        document: its fields; ``format`` is 1 where it is missing.
    """
    number = document.get("format", 1)
    if isinstance(number, int) and 1 <= number <= FORMAT:
        return None
    if not isinstance(number, int) or number < 1:
        return f"{file}: the format {number!r} is none from 1 to {FORMAT}: the file is damaged, or scones_ml too old"
    version = document.get("library_version")
    made_by = document.get("made_by") or (f"scones_ml {version}" if version else "a newer scones_ml")
    return f"{file}: made by {made_by} (format {number}): update scones_ml to read it"
