"""Files that are not images, or of unsupported formats: rejected, whatever their name."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

from scones_ml.testing.kinds import Expectation, ImageKind
from scones_ml.testing.kinds.avif import box
from scones_ml.testing.kinds.drawing import COLOURS, LOSSY, SIZE, encoded, quadrants
from scones_ml.testing.kinds.jpeg_writer import segment, with_segments
from scones_ml.testing.kinds.png import zeros
from scones_ml.testing.kinds.tiff import tiff

__all__ = ["kinds"]

_WORDS = b"the quick brown fox jumps over the lazy dog\n"


def _media(brand: bytes, *compatible: bytes) -> bytes:
    return box(b"ftyp", brand, bytes(4), *compatible) + box(b"meta", bytes(4)) + box(b"mdat", bytes(64))


def kinds() -> Iterator[ImageKind]:
    """All of them."""
    yield from _formats_not_read()
    yield from _raw()
    yield from _no_images()
    yield from _polyglots()


def _formats_not_read() -> Iterator[ImageKind]:
    rgb = quadrants(COLOURS)
    files = {
        **{
            f"heif-{brand.decode()}": _media(brand, b"mif1", brand)
            for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
        },
        "heif-truncated": b"\0\0\0\x18ftypheic",
        "avif-header-alone": _media(b"avif", b"mif1", b"avif"),
        "jpeg-xl-codestream": b"\xff\x0a" + bytes(60),
        "jpeg-xl": b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl ", bytes(4), b"jxl ") + box(b"jxlc", b"\xff\x0a"),
        "jpeg-2000": encoded(rgb, "JPEG2000"),
        "jpeg-2000-codestream": encoded(rgb, "JPEG2000", no_jp2=True),
        "jpeg-xr": b"II\xbc\x01" + bytes(60),
        "ico": encoded(rgb, "ICO", sizes=[(32, 32)]),
        "icns": b"icns" + struct.pack(">I", 8),
        "ppm": encoded(rgb, "PPM"),
        "tga": encoded(rgb, "TGA"),
        "pcx": encoded(rgb, "PCX"),
        "dds": encoded(rgb, "DDS"),
        "qoi": encoded(rgb, "QOI"),
        "eps": encoded(rgb, "EPS"),
        "psd": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 32, 48, 8, 3) + bytes(60),
        "psb": b"8BPS" + struct.pack(">H6xHIIHH", 2, 3, 32, 48, 8, 3) + bytes(60),
        "xcf": b"gimp xcf v011\0" + bytes(60),
        "exr": b"v/1\x01\x02\0\0\0" + bytes(60),
        "radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n",
        "fits": b"SIMPLE  =                    T".ljust(2880),
        "dicom": bytes(128) + b"DICM" + bytes(60),
        "wmf": b"\xd7\xcd\xc6\x9a" + bytes(60),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "svg-xml": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
        "flif": b"FLIF\x44\x31" + bytes(60),
        "bpg": b"BPG\xfb" + bytes(60),
    }
    for name, data in files.items():
        yield ImageKind(f"other/{name}", "refused", "an unsupported format", partial(bytes, data))


def _raw() -> Iterator[ImageKind]:
    thumbnail = quadrants(COLOURS).tobytes()
    three: dict[int, tuple[int, ...]] = {258: (8, 8, 8), 262: (2,), 277: (3,), 254: (1,)}

    def made_by(make: bytes) -> list[tuple[int, int, int, bytes]]:
        return [(271, 2, len(make), make)]

    dng = tiff([thumbnail], SIZE, three, extra=[(50_706, 1, 4, b"\1\4\0\0"), (50_708, 2, 10, b"Pixel 999\0")])
    mosaic = tiff([thumbnail], SIZE, {258: (8,), 262: (32_803,), 277: (1,)}, extra=[(50_706, 1, 4, b"\1\4\0\0")])
    canon = b"II*\0\x10\0\0\0CR\2\0\0\0\0\0" + bytes(60)
    files: dict[str, tuple[Expectation, bytes]] = {
        "dng": ("refused", dng),
        "dng-mosaic": ("refused", mosaic),
        "cr2": ("refused", canon),
        "nef": ("either", tiff([thumbnail], SIZE, three, ">", extra=made_by(b"NIKON CORPORATION\0"))),
        "arw": ("either", tiff([thumbnail], SIZE, three, extra=made_by(b"SONY\0"))),
        "pef": ("either", tiff([thumbnail], SIZE, three, ">", extra=made_by(b"PENTAX\0"))),
        "cr3": ("refused", _media(b"crx ", b"crx ", b"isom")),
        "orf": ("refused", b"IIRO\x08\0\0\0" + bytes(60)),
        "rw2": ("refused", b"IIU\0\x08\0\0\0" + bytes(60)),
        "raf": ("refused", b"FUJIFILMCCD-RAW 0201" + bytes(60)),
        "x3f": ("refused", b"FOVb" + bytes(60)),
        "crw": ("refused", b"II\x1a\0\0\0HEAPCCDR" + bytes(60)),
    }
    for name, (expectation, data) in files.items():
        yield ImageKind(f"other/raw-{name}", expectation, "a camera's raw data", partial(bytes, data))


def _no_images() -> Iterator[ImageKind]:
    files = {
        "empty": b"",
        "one-byte": b"\xff",
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
        "text": _WORDS,
        "text-bm": b"BMW is a maker of motorcycles\n",
        "text-gif": b"GIF is a file format\n",
        "text-utf-16": b"\xff\xfe" + "hello".encode("utf-16-le"),
        "text-tiff": b"II*\0" + _WORDS,
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "json": b'{"image": null}',
        "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
        "mp4": _media(b"isom", b"isom", b"mp41"),
        "mov": _media(b"qt  ", b"qt  "),
        "3gp": _media(b"3gp4", b"3gp4"),
        "webm": b"\x1aE\xdf\xa3" + bytes(60),
        "wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
        "avi": b"RIFF\x24\0\0\0AVI LIST" + bytes(60),
        "mp3": b"ID3\4\0\0\0\0\0\0" + bytes(60),
        "zip": b"PK\3\4" + bytes(60),
        "gzip": b"\x1f\x8b\x08\0" + bytes(60),
        "tar": b"photo.jpg".ljust(257, b"\0") + b"ustar\x0000" + bytes(300),
        "elf": b"\x7fELF\2\1\1" + bytes(60),
        "pickle": b"\x80\4\x95\0\0\0\0\0\0\0\0.",
        "numpy": b"\x93NUMPY\1\0v\0{'descr': '|u1', 'fortran_order': False, 'shape': (9,)}\n",
        "apple-double": b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(60),
        "thumbs-db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60),
        "desktop-ini": b"[.ShellClassInfo]\r\n",
        "base64": b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
        "data-uri": b"data:image/png;base64,iVBORw0KGgo=",
    }
    for name, data in files.items():
        yield ImageKind(f"other/{name}", "refused", "no image", partial(bytes, data))
    yield ImageKind("other/bomb-of-zlib", "refused", "no image", partial(zeros, 200_000_000))
    signatures = {
        "png": b"\x89PNG\r\n\x1a\n",
        "jpeg": b"\xff\xd8\xff",
        "gif": b"GIF89a",
        "bmp": b"BM",
        "tiff": b"MM\0*",
    }
    for name, signature in signatures.items():
        for label, rest in (("alone", b""), ("then-zeros", bytes(10_000)), ("then-text", _WORDS * 20)):
            data = signature + rest
            yield ImageKind(f"other/{name}-{label}", "refused", "a signature without an image", partial(bytes, data))


def _polyglots() -> Iterator[ImageKind]:
    jpeg = encoded(quadrants(COLOURS, (64, 64)), "JPEG", quality=95)
    png = encoded(quadrants(COLOURS), "PNG")
    page = b"<html><script>alert(1)</script></html>"
    for name, data in {
        "jpeg-html": with_segments(jpeg, segment(0xFE, page)),
        "jpeg-zip": jpeg + b"PK\5\6" + bytes(18),
        "jpeg-php": jpeg + b"<?php system($_GET[0]); ?>",
        "jpeg-pdf": with_segments(jpeg, segment(0xFE, b"%PDF-1.7\n")),
        "png-html": png + page,
        "png-elf": png + b"\x7fELF",
    }.items():
        yield ImageKind(f"other/{name}", "read", "other data after the image", partial(bytes, data), COLOURS, LOSSY)
    for name, data in {"newline": b"\n", "bom": b"\xef\xbb\xbf", "zeros": bytes(512), "pdf": b"%PDF-1.7\n"}.items():
        for label, image in (("jpeg", jpeg), ("png", png)):
            build = partial(bytes, data + image)
            yield ImageKind(f"other/{name}-before-{label}", "refused", "data before the image", build)
