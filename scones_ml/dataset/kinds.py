"""Kind of a file, by its suffix, for counts of ignored files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

__all__ = ["file_kind", "says_image"]

_IMAGE: Final = re.compile(
    r"\.(png|jpe?g|jpe|jfif|pjpeg|webp|gif|bmp|dib|tiff?|avif|heic|heif|hif"
    r"|jxl|jp2|jpx|j2k|psd"  # like camera RAW files, reported by the image reader with a remedy
    r"|dng|cr2|cr3|crw|nef|nrw|arw|srf|sr2|orf|raf|rw2|pef|srw|raw|3fr|erf)"
)
_KINDS: Final = {
    "videos": re.compile(r"\.(mp4|mov|avi|mkv|webm|m4v|mpe?g|wmv|3gp|mts|m2ts)"),
    "archives": re.compile(r"\.(zip|tar|gz|tgz|bz2|xz|7z|rar)"),
    "lists and manifests": re.compile(
        r"\.(lst|csv|tsv|jsonl?|ndjson|manifest|xml|ya?ml|rec|idx|parquet|xlsx?|npy|npz)"
    ),
    "notes and documents": re.compile(r"\.(txt|md|rst|pdf|docx?|rtf|html?|log|aae|xmp|url)"),
}


def says_image(name: str) -> bool:
    """Whether a file has an image's suffix, supported or not."""
    return _IMAGE.fullmatch(_suffix(name)) is not None


def file_kind(name: str) -> str:
    """Kind of a file that is not an image, such as ``"videos"``."""
    suffix = _suffix(name)
    return next((kind for kind, suffixes in _KINDS.items() if suffixes.fullmatch(suffix)), "other files")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
