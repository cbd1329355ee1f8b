"""The image policy: what is read, how it comes out, and that every door reads the same."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from scones_ml import images
from scones_ml.errors import ImageError, ImageTooLargeError, InvalidImageError
from scones_ml.images import Fit, ImagePolicy

FIXTURES = Path(__file__).parents[1] / "fixtures" / "images"
FITS: tuple[Fit, ...] = get_args(Fit)
FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"]


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def whole(data: bytes, size: int = 224) -> Image.Image:
    return decoded(images.reduce(data, size).png)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(width: int, height: int, depth: int, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, written by hand."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in [(b"IHDR", header), *chunks, (b"IEND", b"")]
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_becomes_an_rgb_png(kind: str) -> None:
    """Whatever comes in, a square 8-bit RGB PNG goes out, and its source format is named."""
    image = images.normalise(encoded(noise(40, 30), kind), ImagePolicy(image_size=32))
    assert (image.source_format, image.width, image.height) == (kind, 32, 32)
    assert (decoded(image.png).format, decoded(image.png).mode) == ("PNG", "RGB")


def test_an_iphone_s_heic_is_read() -> None:
    """HEIC is read through the extra of that name, upright."""
    image = whole((FIXTURES / "red-left-blue-right.heic").read_bytes())
    assert image.size == (64, 48)
    assert np.allclose(image.getpixel((5, 20)), (200, 40, 40), atol=6)
    assert np.allclose(image.getpixel((58, 20)), (40, 40, 200), atol=6)


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pi-heif is not installed, the line says what the file is and what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pi_heif.as_plugin", None)
    with pytest.raises(InvalidImageError, match=r'HEIC images need the extra heif: pip install "scones_ml\[heif\]"'):
        images.normalise((FIXTURES / "red-left-blue-right.heic").read_bytes())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(8, 128),
    st.sampled_from(["PNG", "JPEG", "WEBP"]),
    st.sampled_from(FITS),
)
def test_every_door_gives_the_same_pixels(width: int, height: int, size: int, kind: str, fit: Fit) -> None:
    """A file, its payload between two states, its staged copy and the copy's payload: one square, byte for byte."""
    policy = ImagePolicy(image_size=size, fit=fit)
    data = encoded(noise(width, height), kind)
    expected = images.pixels(data, size, policy)
    assert expected.shape == (size, size, 3)
    staged, payload = images.reduce(data, size).png, images.normalise(data, policy).png
    for again in (payload, staged, images.normalise(staged, policy).png, images.normalise(payload, policy).png):
        assert np.array_equal(images.pixels(again, size, policy), expected)
    assert np.array_equal(images.normalised_pixels(data, size, policy), expected)


def check_doors(files: list[Path], sizes: tuple[int, ...]) -> int:
    """Compare what each door gives of each file, and count the pairs."""
    pairs = 0
    for file in files:
        data = file.read_bytes()
        for size in sizes:
            staged = images.reduce(data, size).png
            for fit in FITS:
                policy = ImagePolicy(image_size=size, fit=fit)
                expected = images.pixels(data, size, policy).tobytes()
                payloads = [staged, images.normalise(data, policy).png, images.normalise(staged, policy).png]
                doors = [images.normalised_pixels(data, size, policy)]
                doors += [images.pixels(payload, size, policy) for payload in payloads]
                assert [door.tobytes() == expected for door in doors] == [True] * 4, (file, size, fit)
                pairs += len(doors)
    return pairs


def photographs(test_data: Path) -> list[Path]:
    return sorted((test_data / "photographs" / "clothing").rglob("*.jpg"))


def test_every_door_gives_the_same_pixels_of_photographs(test_data: Path) -> None:
    """The same of people's phone photographs, at thumbnails' size and at a backbone's."""
    assert check_doors(photographs(test_data)[::20], (32, 224)) > 900


@pytest.mark.reliability
def test_ten_thousand_pairs_of_an_image_and_a_door(test_data: Path) -> None:
    """The same of all photographs, through every door and fit, at two sizes."""
    assert check_doors(photographs(test_data), (32, 160)) > 10_000


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(8, 64))
def test_staging_keeps_the_whole_image_in_its_proportions(width: int, height: int, size: int) -> None:
    """The shorter side is reduced to the size, the longer one to four times that, and nothing is enlarged."""
    image = images.reduce(encoded(noise(width, height)), size)
    shorter, longer = sorted((image.width, image.height))
    assert shorter <= min(size, width, height)
    assert longer <= min(4 * size, max(width, height))
    if max(width, height) <= 4 * min(width, height):
        assert shorter == min(size, width, height)
        assert abs(longer - max(width, height) * shorter / min(width, height)) <= 1
    assert images.reduce(image.png, size).png == image.png


def test_what_each_fit_shows() -> None:
    """Of a wide image crop shows the middle, pad all of it on white, and stretch all of it out of proportion."""
    stripes = Image.new("RGB", (96, 32), "red")
    stripes.paste("blue", (32, 0, 64, 32))
    data = encoded(stripes)
    cropped, padded, stretched = (images.pixels(data, 32, ImagePolicy(image_size=32, fit=fit)) for fit in FITS)
    assert (cropped == (0, 0, 255)).all()
    assert (padded[[0, -1]] == 255).all()
    assert padded[16, 2].tolist() == [255, 0, 0]
    assert padded[16, 16].tolist() == [0, 0, 255]
    assert stretched[0, 2].tolist() == [255, 0, 0]
    assert stretched[0, 16].tolist() == [0, 0, 255]


def test_the_decoded_image_does_not_depend_on_the_size() -> None:
    """What duplicates and splits are told by is the same whatever an image is reduced to."""
    for data in (encoded(noise(1500, 1100), "JPEG"), encoded(noise(1500, 1100)), encoded(noise(60, 40))):
        digests = {images.reduce(data, size).decoded_digest for size in (8, 32, 224, 300, 700)}
        assert len(digests) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html></html>", "not an image: it starts with"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing is not supported: save it as JPEG or PNG"),
        (b"\xff\x0a" + bytes(20), "a JPEG XL image is not supported"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL image is not supported"),
        (b"8BPS\x00\x01", "a Photoshop document"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01", "a camera's raw file"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00", "a video"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00\x00\x00\x00\x00" + bytes(40), "a camera's raw file"),
        (b"\x89PNG\r\n\x1a\n", "broken PNG"),
        (b"\xff\xd8\xff\xe0", "broken JPEG"),
        (b"GIF89a", "broken GIF"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "broken WEBP"),
        (b"BM", "broken BMP"),
        (b"II*\x00", "broken TIFF"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf", "broken AVIF"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, words: str) -> None:
    """Empty objects, pages, drawings, raw files, videos and bare headers are InvalidImageErrors in one line."""
    with pytest.raises(InvalidImageError, match=words) as caught:
        images.normalise(data)
    assert "\n" not in str(caught.value)
    assert " at 0x" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_never_escapes_as_a_foreign_error(data: st.DataObject) -> None:
    """A truncated or corrupted file gives an image or an ImageError, nothing else."""
    kind = data.draw(st.sampled_from(FORMATS))
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
    """Small files that claim many pixels, endless rows or a gigabyte are refused by their headers."""
    with pytest.raises(ImageTooLargeError, match="9400 x 9400 pixels exceed the limit of 64,000,000"):
        images.normalise(png(9400, 9400, 8, 2, (b"IDAT", b"")))
    with pytest.raises(ImageTooLargeError, match="1 x 50000000 pixels: a side exceeds the limit of 65,535"):
        images.normalise(png(1, 50_000_000, 1, 0, (b"IDAT", b"")))
    with pytest.raises(ImageTooLargeError, match="7071 x 7071 pixels in this format"):
        images.normalise(png(7071, 7071, 8, 6, (b"IDAT", b"")))
    with pytest.raises(ImageTooLargeError, match="more than the 10 bytes allowed"):
        images.normalise(png(1, 1, 8, 2), ImagePolicy(max_bytes=10))


def test_what_a_file_carries_along_is_bounded() -> None:
    """A million chunks, a thousand scans and megabytes of metadata are refused, each with a remedy."""
    with pytest.raises(ImageTooLargeError, match="more chunks than the limit of 50,000: save it again"):
        images.normalise(png(8, 8, 8, 2, *[(b"teXt", b"")] * 60_000))
    with pytest.raises(ImageTooLargeError, match="bytes of metadata exceed the limit of 8,000,000: save it without"):
        images.normalise(png(8, 8, 8, 2, *[(b"tEXt", bytes(1_000_000))] * 9))
    data = encoded(noise(64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageTooLargeError, match="scans exceed the limit of 100: save it without progressive"):
        images.normalise(data[:last] + data[last:-2] * 150 + data[-2:])


def test_a_stream_that_ends_early_is_a_broken_image() -> None:
    """Decoders fill up what is missing and say nothing; here it is said, and a grey image is still an image."""
    rows = zlib.compress(b"".join(b"\x00" + bytes([200]) * 300 for _ in range(10)))
    with pytest.raises(InvalidImageError, match="broken PNG: its pixels end early"):
        images.normalise(png(100, 100, 8, 2, (b"IDAT", rows)))
    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        data = encoded(noise(1200, 900), "JPEG", **options)
        start = data.index(b"\xff\xda") + 400
        with pytest.raises(InvalidImageError, match="broken JPEG: its pixels end early"):
            images.normalise(data[:start] + b"\xff\xd9")
    grey = encoded(Image.new("RGB", (300, 200), (128, 128, 128)), "JPEG")
    assert images.pixels(grey, 8).tolist() == [[[128] * 3] * 8] * 8


def test_a_palette_that_is_missing_makes_a_broken_image() -> None:
    """Pixels that name colours of no palette are not guessed."""
    with pytest.raises(InvalidImageError, match=r"broken PNG: .* and no palette"):
        images.normalise(png(2, 1, 8, 3, (b"IDAT", zlib.compress(b"\x00\x00\x01"))))
    gif = bytearray(encoded(Image.new("P", (2, 1)), "GIF"))
    gif[10] &= 0x7F
    del gif[13 : 13 + 3 * (2 << (encoded(Image.new("P", (2, 1)), "GIF")[10] & 7))]
    with pytest.raises(InvalidImageError, match="broken GIF"):
        images.normalise(bytes(gif))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied(kind: str) -> None:
    """A photograph that a phone stored sideways is turned upright."""
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    upright = whole(encoded(image, kind, exif=exif))
    assert upright.size == (20, 40)
    assert np.allclose(upright.getpixel((10, 5)), (0, 0, 255), atol=20)


def exif_block(*entries: tuple[int, int, bytes]) -> bytes:
    """EXIF of these tags, types and values of at most four bytes, little-endian."""
    body = b"".join(struct.pack("<HHI4s", tag, kind, 1, value) for tag, kind, value in entries)
    return b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(entries)) + body + bytes(4)


@pytest.mark.parametrize("tag", [0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825, 0x9286])
def test_odd_metadata_never_stands_in_the_way(tag: int) -> None:
    """Whatever type another tag has, right or wrong, its image is turned as its orientation says."""
    image = encoded(Image.new("RGB", (40, 20)), "JPEG")
    for kind in range(20):
        block = exif_block((0x0112, 3, b"\x06\x00\x00\x00"), (tag, kind, b"\x40\x00\x00\x00"))
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
        assert whole(image[:2] + segment + image[2:]).size == (20, 40)


def test_alpha_is_laid_over_white() -> None:
    """Transparent pixels come out white, in RGBA as in a palette, and opaque ones keep their colour."""
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    for data in (encoded(image), encoded(image.quantize(4))):
        result = whole(data)
        assert [result.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (10, 20, 30)]


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_laid_over_white(depth: int) -> None:
    """A PNG names its transparent grey in its own depth: 0 here, and the lightest grey but one stays."""
    darkest, other = 0, (1 << depth) - 2 if depth > 1 else 1
    bits = f"{darkest:0{depth}b}{other:0{depth}b}".ljust(-(-2 * depth // 8) * 8, "0")
    row = b"\x00" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    for transparent in (darkest, other):
        data = png(2, 1, depth, 0, (b"tRNS", struct.pack(">H", transparent)), (b"IDAT", zlib.compress(row)))
        shown = np.asarray(whole(data))[0, :, 0].tolist()
        greys = [0, other * 255 // ((1 << depth) - 1)]
        expected = [255 if value == transparent else grey for value, grey in zip((darkest, other), greys, strict=True)]
        assert shown == pytest.approx(expected, abs=1)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    """16-bit grey is divided by 257, so that its middle stays the middle."""
    values = np.array([[0, 32_896, 65_535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        result = whole(encoded(Image.fromarray(values), kind))
        assert [result.getpixel((x, 0)) for x in range(3)] == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


def tiff(photometric: int, bits: int, pixels: bytes, order: str = "<", sample_format: int = 1) -> bytes:
    """A grey TIFF of two pixels, written by hand."""
    tags = [
        (256, 2), (257, 1), (258, bits), (259, 1), (262, photometric),
        (273, 8), (277, 1), (278, 1), (279, len(pixels)), (339, sample_format),
    ]  # fmt: skip
    body = b"".join(struct.pack(f"{order}HHI", tag, 4, 1) + struct.pack(f"{order}I", value) for tag, value in tags)
    start = 8 + len(pixels)
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    return mark + struct.pack(f"{order}I", start) + pixels + struct.pack(f"{order}H", len(tags)) + body + bytes(4)


def test_white_is_zero_is_not_a_negative() -> None:
    """A 16-bit scan whose zero is white shows what the paper showed, or is refused without an address in the line."""
    image = whole(tiff(0, 16, struct.pack("<HH", 0, 65_535)))
    assert [image.getpixel((x, 0))[0] for x in range(2)] == [255, 0]
    assert [whole(tiff(0, 8, b"\x00\xff")).getpixel((x, 0))[0] for x in range(2)] == [255, 0]
    with pytest.raises(InvalidImageError, match="damaged or uses an unsupported feature"):
        images.normalise(tiff(0, 16, struct.pack(">HH", 0, 65_535), ">"))


@pytest.mark.parametrize(("bits", "sample_format"), [(32, 1), (32, 2), (16, 2), (32, 3)])
def test_samples_without_a_range_are_refused(bits: int, sample_format: int) -> None:
    """Signed, 32-bit and floating-point samples have no defined range and are rejected."""
    with pytest.raises(InvalidImageError, match="no defined range: save it with 8 or 16 bits"):
        images.normalise(tiff(1, bits, bytes(2 * bits // 8), sample_format=sample_format))


def test_cmyk_becomes_rgb() -> None:
    """A CMYK JPEG, as printers save them, is converted."""
    result = whole(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"))
    assert result.getpixel((4, 4)) == (255, 255, 255)


def test_a_colour_profile_is_applied_or_dropped() -> None:
    """Colours of another space become sRGB; a profile that is broken, foreign or huge changes nothing."""
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    xyz = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    plain = whole(encoded(image)).getpixel((8, 8))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"broken", srgb[: len(srgb) // 2], xyz, srgb + bytes(5_000_000)):
        assert whole(encoded(image, "PNG", icc_profile=profile)).getpixel((8, 8)) == plain
    wide = bytearray(srgb)
    red, green = (wide.index(name) for name in (b"rXYZ", b"gXYZ"))
    wide[red : red + 4], wide[green : green + 4] = b"gXYZ", b"rXYZ"
    wide = bytearray(bytes(wide).replace(b"s\x00R\x00G\x00B", b"w\x00i\x00d\x00e").replace(b"sRGB", b"wide"))
    assert np.allclose(whole(encoded(image, "JPEG", icc_profile=bytes(wide))).getpixel((8, 8)), (100, 200, 50), atol=12)


def test_animations_give_their_first_frame() -> None:
    """Of an animation the first frame is the image."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP", "AVIF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.allclose(whole(data).getpixel((0, 0)), (255, 0, 0), atol=6)


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_but_pixels_travels_on(kind: str) -> None:
    """The pixels are encoded anew: profile, EXIF, XMP, comments and a ZIP behind the image are gone in every output."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {
        "icc_profile": srgb,
        "exif": exif_block((0x010E, 2, b"GPS\x00")),
        "xmp": b"<x>secret</x>",
        "comment": b"secret",
    }
    data = encoded(noise(40, 30), kind, **options) + b"PK\x03\x04 payload"
    policy = ImagePolicy(image_size=32)
    first = ImagePolicy().of_model(32, None)
    outputs = [
        images.normalise(data, policy).png, images.reduce(data, 32).png, images.preview(data).data,
        images.normalise(data, first).png,
    ]  # fmt: skip
    for output in outputs:
        with decoded(output) as image:
            assert image.info == {}
        names = [output[at + 4 : at + 8] for at in chunk_offsets(output)]
        assert set(names) == {b"IHDR", b"IDAT", b"IEND"}
        assert b"payload" not in output


def chunk_offsets(data: bytes) -> list[int]:
    at, found = 8, []
    while at < len(data):
        found.append(at)
        at += 12 + int.from_bytes(data[at : at + 4])
    return found


def test_noise_at_the_default_size_fits_into_a_state() -> None:
    """Even noise, the worst case, stays below a state's 262,144 bytes as base64."""
    image = images.normalise(encoded(noise(1000, 1000)))
    assert len(image.png) * 4 / 3 < 262_144 - 8_192


def test_large_images_in_bands_are_like_small_ones_at_once() -> None:
    """A large PNG is converted and reduced in bands, with the same result as all of it at once."""
    image = noise(1400, 1800)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    assert images.reduce(encoded(image), 224).decoded == white.reduce(3)


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


def test_a_bounded_number_is_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads ask, no more images are decoded at a time than there are places."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier, BoundedSemaphore, Lock

    from scones_ml.images import decoding

    monkeypatch.setattr(decoding, "_decoding", BoundedSemaphore(2))
    pair, lock, inside, most = Barrier(2, timeout=20), Lock(), 0, 0

    def decode(data: bytes) -> None:
        nonlocal inside, most
        with decoding.opened(data, ImagePolicy(), 8):
            with lock:
                inside += 1
                most = max(most, inside)
            pair.wait()  # both places are taken at once, or this breaks
            with lock:
                inside -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(decode, [encoded(noise(8, 8))] * 6))
    assert most == 2
