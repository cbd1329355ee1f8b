"""Kinds of resources at each place, and their valid names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from scones_ml.limits import BUCKET_NAME, SAGEMAKER_NAME

__all__ = ["is_resource"]

_REGION: Final = re.compile(r"aws:[a-z0-9]+(-[a-z0-9]+)+")
_LONGEST: Final = 4_096  # characters, as in a path
_PATH: Final = r"/[^\0]*"
_VARIANT: Final = r"endpoint/[A-Za-z0-9-]{1,63}/variant/[A-Za-z0-9-]{1,63}"

_LOCAL: Final[Mapping[str, str]] = {
    "endpoint": SAGEMAKER_NAME,
    "objects": r"s3://[^/\0]{1,255}/[^\0]*",
    "data set": _PATH,
    "model": _PATH,
    "report": _PATH,
}
_AWS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("endpoint", "endpoint config", "model", "training job", "transform job"), SAGEMAKER_NAME),
    **dict.fromkeys(("object", "objects"), rf"s3://{BUCKET_NAME}/[^\0]*"),
    **dict.fromkeys(("scaling target", "scaling policy"), _VARIANT),
    "bucket": BUCKET_NAME,
    "alarm": r"[^\0]{1,255}",
    "log group": r"[A-Za-z0-9_/.#-]{1,512}",
    "stack": r"[A-Za-z][A-Za-z0-9-]{0,127}",
}


def is_resource(place: str, kind: str, name: str) -> bool:
    """Whether a place has this kind of resource, and the name is valid for it.

    Args:
        place: ``"local"`` or ``"aws:REGION"``.
        kind: ``"endpoint"``.
        name: a name, a URI, or a data set's, model's or report's absolute path.
    """
    kinds = _LOCAL if place == "local" else _AWS if _REGION.fullmatch(place) else {}
    pattern = kinds.get(kind)
    if pattern is None or len(name) > _LONGEST or not _is_text(name):
        return False
    return re.fullmatch(pattern, name, re.DOTALL) is not None


def _is_text(name: str) -> bool:
    """Whether it can be encoded in UTF-8: a file name may hold bytes that cannot."""
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in name)
