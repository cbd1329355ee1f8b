"""``load_model``, ``predict`` and ``predict_many``: what a user types first."""

from __future__ import annotations

import copy
import io
import json
import pickle
import shutil
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from scones_ml import Model, Prediction, load_model
from scones_ml.errors import (
    ConfigurationError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    InvalidImageError,
    UnreadableImageError,
)


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The tiny model, read by the present image policy."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("policy-2") / "model")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"policy": 2, "fit": "crop"}))
    return load_model(folder)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def grey(level: int) -> bytes:
    return encoded(Image.new("L", (9, 9), level))


def test_a_prediction_reads_well(model: Model, tmp_path: Path) -> None:
    """Label, rounded confidence and verdict are printed; probabilities stand by label, in order, and cannot be set."""
    (tmp_path / "photo.png").write_bytes(grey(30))
    found = model.predict(str(tmp_path / "photo.png"))
    assert str(found) == "Prediction(label='bicycle', confidence=0.9899, accepted=True)"
    assert list(found.probabilities) == ["bicycle", "motorcycle"] == list(model.labels)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    with pytest.raises(TypeError):
        found.probabilities["bicycle"] = 1.0  # type: ignore[index]
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found


def test_a_confidence_is_never_rounded_up_to_certainty() -> None:
    """0.99996 is printed as 0.9999; only 1.0 itself is printed as 1.0."""
    assert "confidence=0.9999," in repr(Prediction("a", 0.99996, True, {}))
    assert "confidence=1.0," in repr(Prediction("a", 1.0, True, {}))


def test_doubt_has_its_reason(model: Model, other_model: Callable[..., Path]) -> None:
    """Below the threshold nothing is added; a model without one accepts nothing, and says why."""
    assert str(model.predict(grey(128))).endswith("accepted=False)")
    assert str(load_model(other_model("a", "b", threshold=None)).predict(grey(0))).endswith("reason='no threshold')")


def test_a_model_says_what_it_is(model: Model, other_model: Callable[..., Path]) -> None:
    """Labels, side of its square and threshold can be asked for, and are printed; of many labels the first."""
    assert (model.labels, model.input_size, model.threshold) == (("bicycle", "motorcycle"), 8, 0.9)
    assert repr(model).endswith("labels=('bicycle', 'motorcycle'), input_size=8, threshold=0.9)")
    assert len(repr(load_model(other_model(*map(str, range(500)))))) < 200


@given(pixels=arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([3, 4]))))
def test_pixels_and_files_have_one_answer(
    model: Model, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    """An array, the Pillow image of it and its PNG, RGB or RGBA, give the same probabilities to the last bit."""
    image = Image.fromarray(pixels)
    assert model.predict(pixels) == model.predict(image) == model.predict(encoded(image))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr"])
def test_every_mode_of_pillow_is_read_as_its_file(model: Model, mode: str) -> None:
    """What a mode means in a file, it means in memory: palettes, transparency, 16 bits, inks."""
    ramp = Image.linear_gradient("L").resize((40, 30))
    image = Image.fromarray(np.asarray(ramp).astype(np.uint16) * 257) if mode == "I;16" else ramp.convert(mode)
    assert image.mode == mode
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    assert model.predict(image).confidence == pytest.approx(model.predict(encoded(image, kind)).confidence, abs=2e-3)


@pytest.mark.parametrize("mode", ["PA", "RGBX", "RGBa", "La", "HSV", "LAB", "F", "I"])
def test_rare_modes_are_read_or_refused_in_one_line(model: Model, mode: str) -> None:
    """No mode of Pillow ends in a traceback of Pillow's own."""
    try:
        assert isinstance(model.predict(Image.new(mode, (9, 9))), Prediction)
    except InvalidImageError as exc:
        assert mode in str(exc)


def test_a_grey_array_is_a_grey_image(model: Model) -> None:
    """(H, W) is read as the same level in each channel, whatever the array's strides."""
    ramp = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)
    assert model.predict(ramp) == model.predict(np.dstack([ramp] * 3))
    assert model.predict(ramp[::-1, ::-1]) == model.predict(ramp[::-1, ::-1].copy())


def test_orientation_in_a_pillow_image_is_applied(model: Model) -> None:
    """An image that was opened and not turned is turned, as the file would be."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((30, 90)).save(buffer, "PNG", exif=exif)
    opened = Image.open(io.BytesIO(buffer.getvalue()))
    assert model.predict(opened) == model.predict(buffer.getvalue())


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 9, 3), np.float32), "float32: pixels are uint8 in 0..255; pass (255 * image).round()"),
        (np.zeros((9, 9), np.int64), "int64: pixels are uint8 in 0..255; pass image.astype('uint8')"),
        (np.zeros((3, 9, 9), np.uint8), "(3, 9, 9): channels go last: image.transpose(1, 2, 0)"),
        (np.zeros((2, 9, 9, 3), np.uint8), "give many images to predict_many"),
        (np.zeros((9, 9, 1), np.uint8), "image.squeeze()"),
        (np.zeros((9,), np.uint8), "give (H, W), (H, W, 3) or (H, W, 4)"),
        (np.zeros((0, 9, 3), np.uint8), "9 x 0 pixels: there is nothing to classify"),
        (7, "type int is not an image: give a path, the file's bytes, a Pillow image or a uint8 array"),
    ],
)
def test_what_is_no_image_is_refused_with_the_remedy(model: Model, array: object, message: str) -> None:
    """Arrays of other types and shapes are never guessed at; the line says how to pass them."""
    with pytest.raises(InvalidImageError) as caught:
        model.predict(array)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_what_is_no_file_is_refused_with_the_remedy(model: Model, tmp_path: Path) -> None:
    """Missing files, folders, files that are none, addresses and hostile names are one line each that names them."""
    (tmp_path / "notes.jpg").write_text("not an image")
    (tmp_path / "huge.jpg").touch()
    with (tmp_path / "huge.jpg").open("r+b") as file:
        file.truncate(80_000_001)
    for path, error, words in [
        (tmp_path / "gone.jpg", ImageNotFoundError, "there is no file"),
        (tmp_path, UnreadableImageError, "is a folder"),
        (tmp_path / "notes.jpg", InvalidImageError, "notes.jpg: "),
        (tmp_path / "huge.jpg", ImageTooLargeError, "huge.jpg: more than the 80,000,000 bytes"),
        ("https://example.com/a.jpg", InvalidImageError, "download it, or pass its bytes"),
        ("s3://bucket/a.jpg", InvalidImageError, "download it, or pass its bytes"),
        ("a\n\x1b[2J.jpg", ImageNotFoundError, r"a\n\x1b[2J.jpg"),
        ("a\0.jpg", UnreadableImageError, "null"),
    ]:
        with pytest.raises(error) as caught:
            model.predict(path)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_stream_is_answered_in_order_and_in_batches(model: Model) -> None:
    """Of a stream without an end no more is taken than a batch before the first answer, and order is kept."""
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield grey(taken % 256)

    stream = model.predict_many(endless())
    first = [next(stream) for _ in range(65)]
    assert taken == 128
    for number, found in enumerate(first, 1):
        assert found.confidence == pytest.approx(model.predict(grey(number % 256)).confidence, abs=1e-6)


def test_a_broken_image_raises_in_its_turn(model: Model) -> None:
    """By default what comes before a broken image is answered, and then the error names the image by its number."""
    stream = model.predict_many([grey(1), b"broken", grey(2)])
    assert next(stream).label == "bicycle"
    with pytest.raises(InvalidImageError, match=r"^image 1 \(counted from 0\): "):
        next(stream)


def test_errors_can_be_returned_in_their_place(model: Model, tmp_path: Path) -> None:
    """``errors="return"`` keeps one result for each image, and goes on."""
    found = list(model.predict_many([grey(1), b"broken", tmp_path / "gone.jpg", grey(255)], errors="return"))
    kinds = [type(one) for one in found]
    assert kinds == [Prediction, InvalidImageError, ImageNotFoundError, Prediction]
    assert len(list(model.predict_many([b"broken"], errors="return"))) == 1
    assert list(model.predict_many([])) == []


@pytest.mark.parametrize(
    "one", ["photos", Path("photos"), b"...", np.zeros((9, 9, 3), np.uint8), Image.new("L", (9, 9))]
)
def test_one_image_is_not_many(model: Model, one: object) -> None:
    """A forgotten list is refused at the call, not taken for as many images as it has characters or rows."""
    with pytest.raises(ConfigurationError, match="use predict, or pass a list of images"):
        model.predict_many(one)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="give 'raise' or 'return'"):
        model.predict_many([one], errors="skip")  # type: ignore[call-overload]


def test_threads_share_a_model(model: Model) -> None:
    """Eight threads that ask one model at once get the answers that one gets."""
    levels = list(range(0, 256, 2)) * 2
    alone = [model.predict(grey(level)) for level in levels]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda level: model.predict(grey(level)), levels)) == alone
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    opened = Image.open(io.BytesIO(encoded(Image.fromarray(noise))))  # its file is read by whichever thread is first
    assert len({one.confidence for one in model.predict_many([opened] * 16)}) == 1


def test_an_archive_is_a_model_too(tiny_model: Path, tmp_path: Path) -> None:
    """``model.tar.gz`` is read as it is, nothing is unpacked, and a hostile member is one line."""
    for name, extra in (("model.tar.gz", None), ("hostile.tar.gz", "model.onnx")):
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            archive.add(tiny_model / "model.json", "model.json")
            if extra:
                link = tarfile.TarInfo(extra)
                link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(link)
            else:
                archive.add(tiny_model / "model.onnx", "model.onnx")
    assert load_model(tmp_path / "model.tar.gz").predict(grey(0)) == load_model(tiny_model).predict(grey(0))
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load_model(tmp_path / "hostile.tar.gz")


def test_what_is_no_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """A missing path, a folder without model.json, an image and an address are one line each that names them."""
    (tmp_path / "photo.jpg").write_bytes(grey(1))
    for path, words in [
        (tmp_path / "gone", "does not exist: train one with `scones train DATA`"),
        (tmp_path, "holds no model.json: train one"),
        (tmp_path / "photo.jpg", "give a model's folder or its model.tar.gz"),
        ("s3://bucket/model.tar.gz", "download it"),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            load_model(path)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_every_image_error_is_caught_as_one(model: Model) -> None:
    """Whatever is wrong with an image, ``except ImageError`` catches it."""
    for wrong in ("gone.jpg", b"", np.zeros(3), None):
        with pytest.raises(ImageError):
            model.predict(wrong)  # type: ignore[arg-type]
