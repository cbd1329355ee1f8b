"""Colour profiles: valid, unusual and broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ImageCms

from scones_ml.testing.kinds import Corners, Expectation
from scones_ml.testing.kinds.drawing import COLOURS

__all__ = ["Profile", "profiles", "srgb"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of an RGB image with the stored colours ``COLOURS``, and the colours to be shown."""

    name: str
    data: bytes
    corners: Corners | None
    why: str
    expectation: Expectation = "read"


def srgb() -> bytes:
    """The profile of sRGB; without the time at which it was made."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)
    return bytes(profile)


def _red_is_blue(profile: bytes) -> bytes:
    """A profile with red and blue primaries exchanged by renaming their tags; it is not named sRGB."""
    profile = profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    return profile.replace(b"rXYZ", b"?XYZ", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"?XYZ", b"bXYZ", 1)


def _grown(profile: bytes, size: int) -> bytes:
    return len(profile + bytes(size)).to_bytes(4, "big") + profile[4:] + bytes(size)


def _of_another_space(space: str) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB" if space == "LAB" else "XYZ"))
    return profile.tobytes()


def profiles() -> Iterator[Profile]:
    """All profiles: valid ones are applied, broken ones ignored, so that the colours are known."""
    good = srgb()
    exchanged: Corners = tuple((blue, green, red) for red, green, blue in COLOURS)  # type: ignore[assignment] # four
    yield Profile("srgb", good, COLOURS, "the profile of sRGB")
    yield Profile("red-is-blue", _red_is_blue(good), exchanged, "a profile that exchanges red and blue is applied")
    yield Profile("1-mb", _grown(good, 1_100_000), COLOURS, "a profile of 1.1 MB", "either")
    yield Profile("empty", b"", COLOURS, "a profile of no bytes is ignored")
    yield Profile("text", b"not a profile", COLOURS, "a broken profile is ignored")
    yield Profile("cut", good[: len(good) // 2], COLOURS, "a profile cut in half is ignored")
    yield Profile("header-alone", good[:128], COLOURS, "a profile without tags is ignored")
    yield Profile("lab", _of_another_space("LAB"), COLOURS, "a profile of another colour space is ignored")
    yield Profile("tag-count", good[:128] + b"\xff\xff\xff\xff" + good[132:], COLOURS, "an invalid profile is ignored")
    zeroed = good[:132] + bytes(len(good) - 132)
    yield Profile("zeroed", zeroed, COLOURS, "a profile of zeros is ignored")
