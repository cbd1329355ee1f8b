"""What a file is counted as, by the end of its name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

__all__ = ["file_kind", "says_image"]

_IMAGE: Final = re.compile(
    r"\.(png|jpe?g|jpe|jfif|pjpeg|webp|gif|bmp|dib|tiff?|avif|heic|heif|hif"
    r"|jxl|jp2|jpx|j2k|psd"  # these are named by the reader, with what to do about them, and so are camera RAW files
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
    """Whether a file's name says that it is an image, be it one that cannot be read here."""
    return _IMAGE.fullmatch(_suffix(name)) is not None


def file_kind(name: str) -> str:
    """What a file that is no image is counted as: ``"videos"``."""
    suffix = _suffix(name)
    return next((kind for kind, suffixes in _KINDS.items() if suffixes.fullmatch(suffix)), "other files")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
