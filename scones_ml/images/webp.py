"""Reduction of large WebP images during decoding.

Pillow decodes every WebP as an animation, which takes 16 bytes a pixel; libwebp takes 4 and can scale during decoding.
Where Pillow would take too much memory, its bundled libwebp, or the system's, is called directly. Source: libwebp's
``decode.h``, whose structures have not changed since version 0.2.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["can_scale", "scaled"]

_ABI_VERSION: Final = 0x0209  # WEBP_DECODER_ABI_VERSION; only the major byte is compared
_RGBA: Final = 1  # MODE_RGBA


class _Features(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("width", "height", "has_alpha", "has_animation", "format")),
        ("pad", ctypes.c_uint32 * 5),
    )


class _RgbaBuffer(ctypes.Structure):
    _fields_ = (("rgba", ctypes.c_void_p), ("stride", ctypes.c_int), ("size", ctypes.c_size_t))


class _YuvaBuffer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in "yuva"),
        *((f"{name}_stride", ctypes.c_int) for name in "yuva"),
        *((f"{name}_size", ctypes.c_size_t) for name in "yuva"),
    )


class _Planes(ctypes.Union):
    _fields_ = (("rgba", _RgbaBuffer), ("yuva", _YuvaBuffer))


class _Buffer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("colorspace", "width", "height", "is_external_memory")),
        ("planes", _Planes),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", ctypes.c_void_p),
    )


class _Options(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int)
            for name in (
                *("bypass_filtering", "no_fancy_upsampling", "use_cropping", "crop_left", "crop_top", "crop_width"),
                *("crop_height", "use_scaling", "scaled_width", "scaled_height", "use_threads", "dithering_strength"),
                *("flip", "alpha_dithering_strength"),
            )
        ),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Config(ctypes.Structure):
    _fields_ = (("input", _Features), ("output", _Buffer), ("options", _Options))


def can_scale() -> bool:
    """Whether libwebp can be loaded: not where Pillow links it statically."""
    return _library() is not None


def scaled(data: bytes, width: int, height: int) -> Image:
    """Decode a still WebP at a smaller size.

    Args:
        data: file contents.
        width: width of the result, in pixels.
        height: likewise.

    Returns:
        An RGBA image.

    Raises:
        ValueError: the image is broken.
    """
    from PIL import Image

    library = _library()
    config = _Config()
    if library is None or not library.WebPInitDecoderConfigInternal(ctypes.byref(config), _ABI_VERSION):
        raise ValueError("libwebp has an incompatible version")
    pixels = (ctypes.c_uint8 * (4 * width * height))()
    config.options.use_scaling, config.options.scaled_width, config.options.scaled_height = 1, width, height
    config.output.colorspace, config.output.is_external_memory = _RGBA, 1
    config.output.planes.rgba = _RgbaBuffer(ctypes.addressof(pixels), 4 * width, len(pixels))
    if library.WebPDecode(data, ctypes.c_size_t(len(data)), ctypes.byref(config)):
        raise ValueError("it cannot be decoded")
    return Image.frombytes("RGBA", (width, height), bytes(pixels))


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    import PIL

    package = Path(PIL.__file__).parent
    found = [*package.parent.glob("pillow.libs/libwebp-*"), *package.glob(".dylibs/libwebp.*")]
    names = [*map(str, found), *filter(None, [ctypes.util.find_library("webp")])]
    for name in names:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        if hasattr(library, "WebPInitDecoderConfigInternal") and hasattr(library, "WebPDecode"):
            return library
    return None
