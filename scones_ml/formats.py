"""Format number of persistent files: model.json, dataset.json, reference.json, the ledger, a workspace.

======  ==========  ===============================================================================================
format  written by  changes
======  ==========  ===============================================================================================
1       0.1.0       files carry no ``format``
2       0.2.0       ``started_from`` is ``base_model``, ``grown_from`` is ``extended_from``; a workspace has a marker;
                    ``policy`` of images, 1 if missing
======  ==========  ===============================================================================================

Readers accept all formats up to their own and all names of a renamed field, and ignore unknown fields: a field that can
be ignored is added without a new format. Newer formats are rejected. Files are written in the newest format only.

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
    """Error line for a document of an unsupported format; None if it can be read.

    Args:
        file: name of the document for the message.
        document: its fields; a missing ``format`` counts as 1.
    """
    number = document.get("format", 1)
    if isinstance(number, int) and 1 <= number <= FORMAT:
        return None
    if not isinstance(number, int) or number < 1:
        return (
            f"{file}: unknown format {number!r}: the file is damaged, or scones_ml is too old (it reads 1 to {FORMAT})"
        )
    version = document.get("library_version")
    made_by = document.get("made_by") or (f"scones_ml {version}" if version else "a newer scones_ml")
    return f"{file}: made by {made_by} (format {number}): update scones_ml to read it"
