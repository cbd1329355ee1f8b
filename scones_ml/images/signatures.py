"""Detection of a file's format from its first bytes; name and content type are ignored."""

from __future__ import annotations

import struct
from typing import Final

from scones_ml.errors import InvalidImageError

__all__ = ["image_format", "require_format"]

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),  # BigTIFF
    (b"MM\x00+", "TIFF"),
)
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_HEIF_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_SAVE_AS: Final = "save it as JPEG or PNG"
_OTHERS: Final = (
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"8BPS", "a Photoshop document"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"),
    (b"IIRO", "a camera's raw file (ORF)"),
    (b"IIRS", "a camera's raw file (ORF)"),
    (b"MMOR", "a camera's raw file (ORF)"),
    (b"IIU\x00", "a camera's raw file (RW2)"),
    (b"\x00MRM", "a camera's raw file (MRW)"),
    (b"FOVb", "a camera's raw file (X3F)"),
    (b"\x00\x00\x01\x00", "an icon (ICO)"),
    (b"%PDF", "a PDF document"),
    (b"<svg", "an SVG drawing"),
)
_BOX_FILES: Final = {b"crx ": "a camera's raw file (CR3)", b"qt  ": "a QuickTime video"}


def image_format(data: bytes) -> str | None:
    """Detect the format from the first bytes (``"PNG"``, ``"JPEG"``, ``"WEBP"``, ...); None if unsupported.

    ``"HEIF"`` (an iPhone's HEIC) can be read with the extra ``heif`` only.
    """
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def require_format(data: bytes) -> str:
    """Detect the format, as :func:`image_format`.

    Raises:
        InvalidImageError: the format is unsupported; the message names it where it is known.
    """
    if (found := image_format(data)) is not None:
        return found
    if not data:
        raise InvalidImageError("not an image: it is empty")
    if (other := _other(data)) is not None:
        raise InvalidImageError(f"{other} is not supported: {_SAVE_AS}")
    raise InvalidImageError(f"not an image: it starts with {repr(data[:8])[1:]}")


def _other(data: bytes) -> str | None:
    for signature, name in _OTHERS:
        if data.startswith(signature):
            return name
    if data[4:8] != b"ftyp":
        return None
    return _BOX_FILES.get(data[8:12], "a video or another file of the MPEG-4 family")


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file (ISO/IEC 14496-12, FileTypeBox)."""
    if data[4:8] != b"ftyp":
        return set()
    (length,) = struct.unpack(">I", data[:4])
    end = min(length, len(data), 256)
    return {data[8:12], *(data[start : start + 4] for start in range(16, end - 3, 4))}
