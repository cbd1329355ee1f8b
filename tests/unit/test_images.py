"""The image policy."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scones_ml import images
from scones_ml.errors import ImageError, ImageTooLargeError, InvalidImageError
from scones_ml.images import ImagePolicy


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_format_becomes_an_rgb_png(kind: str) -> None:
    """Whatever comes in, an 8-bit RGB PNG goes out, and its source format is named."""
    image = images.normalise(encoded(noise(40, 30), kind))
    assert (image.source_format, image.width, image.height) == (kind, 40, 30)
    assert (decoded(image.png).format, decoded(image.png).mode) == ("PNG", "RGB")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 64))
def test_sides_are_reduced_and_never_enlarged(width: int, height: int, size: int) -> None:
    """Each side is at most image_size, a shorter one stays, and a second pass changes nothing."""
    policy = ImagePolicy(image_size=size)
    image = images.normalise(encoded(noise(width, height)), policy)
    assert (image.width, image.height) == (min(width, size), min(height, size))
    assert images.normalise(image.png, policy).png == image.png


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html></html>", "not an image: it starts with"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "broken PNG"),
        (b"\xff\xd8\xff\xe0", "broken JPEG"),
        (b"GIF89a", "broken GIF"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "broken WEBP"),
        (b"BM", "broken BMP"),
        (b"II*\x00", "broken TIFF"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, words: str) -> None:
    """Empty objects, pages, vector graphics and bare headers are InvalidImageErrors in one line."""
    with pytest.raises(InvalidImageError, match=words) as caught:
        images.normalise(data)
    assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_never_escapes_as_a_foreign_error(data: st.DataObject) -> None:
    """A truncated or corrupted file gives an image or an ImageError, nothing else."""
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    whole = bytearray(encoded(noise(24, 24), kind))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(8, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(12, len(whole)))])
    try:
        image = images.normalise(cut, ImagePolicy(max_pixels=10_000))
    except ImageError as exc:
        assert str(exc)
    else:
        assert decoded(image.png).mode == "RGB"


def test_caps_hold_before_anything_is_decoded() -> None:
    """A 100 kB file that claims 9,400 x 9,400 pixels is refused by its header."""
    header = struct.pack(">IIBBBBB", 9400, 9400, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in [(b"IHDR", header), (b"IDAT", b"")]
    )
    with pytest.raises(ImageTooLargeError, match="9400 x 9400 pixels are more than the 50,000,000 allowed"):
        images.normalise(png)
    with pytest.raises(ImageTooLargeError, match="more than the 10 bytes allowed"):
        images.normalise(png, ImagePolicy(max_bytes=10))


def test_orientation_is_applied() -> None:
    """A photograph that a phone stored sideways is turned upright."""
    image = Image.new("RGB", (20, 10), "red")
    image.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    upright = decoded(images.normalise(encoded(image, "PNG", exif=exif)).png)
    assert upright.size == (10, 20)
    assert upright.getpixel((9, 0)) == (0, 0, 255)


def test_alpha_is_laid_over_white() -> None:
    """Transparent pixels come out white, in RGBA as in a palette, and opaque ones keep their colour."""
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    for data in (encoded(image), encoded(image.quantize(4))):
        result = decoded(images.normalise(data).png)
        assert [result.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (10, 20, 30)]


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    """16-bit grey is divided by 257, so that its middle stays the middle."""
    values = np.array([[0, 32_896, 65_535]], dtype=np.uint16)
    result = decoded(images.normalise(encoded(Image.fromarray(values))).png)
    assert [result.getpixel((x, 0)) for x in range(3)] == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


def test_cmyk_becomes_rgb() -> None:
    """A CMYK JPEG, as printers save them, is converted."""
    result = decoded(images.normalise(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")).png)
    assert result.getpixel((4, 4)) == (255, 255, 255)


def test_floating_point_pixels_are_refused() -> None:
    """A TIFF of floats has no stated range, so nothing is guessed."""
    with pytest.raises(InvalidImageError, match="no stated range"):
        images.normalise(encoded(Image.new("F", (8, 8), 0.5), "TIFF"))


def test_animations_give_their_first_frame() -> None:
    """Of an animation the first frame is the image."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decoded(images.normalise(data).png).getpixel((0, 0)) == (255, 0, 0)


def test_appended_bytes_and_metadata_do_not_travel_on() -> None:
    """The pixels are encoded anew: a ZIP behind the image and its comments are gone."""
    data = encoded(noise(8, 8)) + b"PK\x03\x04 payload"
    assert b"payload" not in images.normalise(data).png


def test_noise_at_the_default_size_fits_into_a_state() -> None:
    """Even noise, the worst case, stays below a state's 262,144 bytes as base64."""
    image = images.normalise(encoded(noise(1000, 1000)))
    assert len(image.png) * 4 / 3 < 262_144 - 8_192


def test_training_and_serving_see_the_same_pixels() -> None:
    """Reading an original at the model's size gives what reading its normalised image gives."""
    data = encoded(noise(320, 200))
    small = images.normalise(data, ImagePolicy(image_size=32)).png
    assert np.array_equal(images.pixels(data, 32), images.pixels(small, 32))


def test_the_course_s_images_keep_their_pixels(test_data: Path) -> None:
    """The course's RGBA PNGs (alpha 255 everywhere) come out pixel for pixel."""
    files = sorted((test_data / "course-originals-rgba").glob("*.png"))
    assert len(files) == 20
    for file in files:
        original = Image.open(file).convert("RGB")
        assert np.array_equal(images.pixels(file.read_bytes(), 32), np.asarray(original))


@pytest.mark.parametrize(
    ("size", "shown", "media_type"),
    [
        ((40, 30), (40, 30), "image/png"),
        ((4000, 1000), (1000, 250), "image/png"),
        ((1200, 900), (1000, 750), "image/jpeg"),
    ],
)
def test_people_see_the_whole_image_in_its_proportions(
    size: tuple[int, int], shown: tuple[int, int], media_type: str
) -> None:
    """A preview is never stretched; small ones lose nothing, large ones are JPEG."""
    original = noise(*size)
    preview = images.preview(encoded(original), ImagePolicy(image_size=1000))
    assert ((preview.width, preview.height), preview.media_type) == (shown, media_type)
    assert decoded(preview.data).size == shown
    if size == shown:
        assert np.array_equal(np.asarray(decoded(preview.data)), np.asarray(original))


def test_a_preview_keeps_the_policy() -> None:
    """Photographs are turned upright, and what the policy refuses has no preview."""
    turned = Image.Exif()
    turned[0x0112] = 6
    assert images.preview(encoded(noise(40, 20), "JPEG", exif=turned)).width == 20
    with pytest.raises(ImageTooLargeError):
        images.preview(encoded(noise(40, 20)), ImagePolicy(max_pixels=799))
    with pytest.raises(InvalidImageError):
        images.preview(b"<svg onload=alert(1)>")
