"""Conversion of all colour modes to 8-bit sRGB: bit depths, palettes, transparency, ICC profiles."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from scones_ml.images.header import Header

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsProfile, ImageCmsTransform

__all__ = ["over_white", "to_eight_bits", "to_srgb"]

_WHITE: Final = (255, 255, 255, 255)
_PROFILE_BYTES: Final = 4_000_000  # print profiles have up to 3 million
_NO_CACHE: Final = 0x0040  # cmsFLAGS_NOCACHE: transforms are shared by threads


def to_eight_bits(image: Image, header: Header) -> Image:
    """Convert to grey, RGB or CMYK with 8 bits a sample; transparency is composited on white.

    Args:
        image: decoded image, or a band of one.
        header: header of its file.

    Raises:
        ValueError: the samples have no defined range: signed, floating-point, 32-bit.
    """
    if not header.ranged or image.mode in ("F", "I"):
        raise ValueError("signed, floating-point and 32-bit pixels have no defined range: save it with 8 or 16 bits")
    if image.mode.startswith("I;16"):
        return _sixteen_bit_grey(image, header)
    if image.has_transparency_data:
        return over_white(image, header)
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")


def over_white(image: Image, header: Header) -> Image:
    """Composite a transparent image on white, as RGB."""
    from PIL import Image

    _correct_transparency(image, header)
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba).convert("RGB")


def _correct_transparency(image: Image, header: Header) -> None:
    """Scale a PNG's transparent colour from the file's bit depth to 8 bits, which Pillow does not do."""
    found = image.info.get("transparency")
    if image.mode == "L" and isinstance(found, int) and header.depth in (2, 4):
        image.info["transparency"] = found * 255 // ((1 << header.depth) - 1)
    elif image.mode == "RGB" and isinstance(found, tuple) and header.depth == 16:
        image.info["transparency"] = tuple(sample >> 8 for sample in found)


def _sixteen_bit_grey(image: Image, header: Header) -> Image:
    from PIL import Image, ImageChops

    grey = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if header.inverted:
        grey = ImageChops.invert(grey)
    if (transparent := image.info.get("transparency")) is not None:
        import numpy as np

        grey.paste(255, mask=Image.fromarray(np.asarray(image) == transparent))
    return grey


def to_srgb(image: Image, profile: object) -> Image:
    """Convert to sRGB with the file's ICC profile, or to plain RGB if that is missing, broken or of another mode.

    Args:
        image: 8-bit grey, RGB or CMYK.
        profile: bytes of the ICC profile, or None.
    """
    if isinstance(profile, bytes) and 0 < len(profile) <= _PROFILE_BYTES:
        transform = _transform(profile, image.mode)
        if transform is not None:
            return transform.apply(image)
    return image.convert("RGB")


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """Transform from a profile to sRGB; None if it is sRGB already or cannot be used."""
    try:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.ImageCmsTransform(source, _srgb(), mode, "RGB", flags=ImageCms.Flags(_NO_CACHE))
    except Exception:  # Pillow may lack ImageCms; a profile may hold anything
        return None


@lru_cache(maxsize=1)
def _srgb() -> ImageCmsProfile:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
