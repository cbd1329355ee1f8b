"""Backbones from ONNX files with one image input and a feature output.

Facts not in the graph, such as the normalisation of pixels, are read from its metadata as ``scones.KEY``, or passed as
settings of the same names; see :data:`KEYS`. The file's graph is wrapped into one from uint8 images to features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from scones_ml.backbones.backbone import Backbone
from scones_ml.bounded import read_at_most
from scones_ml.errors import ConfigurationError, MissingExtraError
from scones_ml.inference.graph import check_graph
from scones_ml.inference.session import open_session
from scones_ml.printable import printable

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx
    import onnxruntime

__all__ = ["KEYS", "load_onnx"]

KEYS: Final = {
    "name": "name of the backbone in messages and model.json (default: the file's name)",
    "licence": "licence of its weights, an SPDX identifier",
    "layout": "nchw or nhwc; detected from the input's shape if one side is 3",
    "size": "side of the images in pixels, if the input's shape leaves it open",
    "scale": "factor for pixels of 0 to 255 (default: 1/255)",
    "mean": "subtracted after scaling: one number, or three for red, green and blue",
    "std": "divisor after subtraction: one number, or three",
    "output": "name of the output with the features, if there are several",
    "pool": "first or mean: token of (N, tokens, D) to use (default: first)",
}
"""Settings of a file, in its metadata as ``scones.KEY`` or passed by the caller."""

_PREFIX, _INNER = "scones.", "backbone."  # of keys in metadata; of names in the file's graph
_REMEDY: Final = "docs/backbones.md shows how to export one"
_LONGEST: Final = 200  # characters of a setting
_MOST_BYTES: Final = 105_000_000  # a model with a head of a thousand classes may have up to 110 million
_SIZES: Final = range(16, 1_025)
_MOST_FEATURES: Final = 16_384
_OPSET: Final = 18  # the first with the axes of every reduction as an input
_FLOAT, _UINT8 = 1, 2  # types of elements


def load_onnx(path: str | Path, settings: Mapping[str, str] | None = None) -> Backbone:
    """Load a backbone from an ONNX file.

    Args:
        path: path of the file. One input, float32 or uint8 (N, 3, S, S) or (N, S, S, 3) with any N; an output (N, D),
            (N, D, h, w), which is averaged, or (N, tokens, D), see ``pool``.
        settings: settings that complete or override the file's metadata, by the names of :data:`KEYS`.

    Raises:
        ConfigurationError: the file cannot be used as a backbone; the message gives the reason.
        MissingExtraError: onnx or ONNX Runtime is not installed.
    """
    path = Path(path)
    try:
        data = read_at_most(path, _MOST_BYTES)
        check_graph(data)
        return _wrapped(path, data, settings or {})
    except OSError as exc:
        raise ConfigurationError(f"the backbone {path} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"the backbone {path} {exc}") from exc


@dataclass(frozen=True)
class _Image:
    """Input of the file: pixels times ``factor``, minus ``shift``; None for raw pixels."""

    name: str
    layout: str
    size: int
    normalisation: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None

    def blank(self, images: int) -> npt.NDArray[np.generic]:
        """Black images as input of the file."""
        shape = (3, self.size, self.size) if self.layout == "nchw" else (self.size, self.size, 3)
        return np.zeros((images, *shape), np.uint8 if self.normalisation is None else np.float32)


def _wrapped(path: Path, data: bytes, settings: Mapping[str, str]) -> Backbone:
    model = _modern(data)
    said = {entry.key: entry.value for entry in model.metadata_props if entry.key.startswith(_PREFIX)}
    values = _known({key.removeprefix(_PREFIX): value for key, value in said.items()} | dict(settings))
    image, output = _image(model.graph, values), _output(model.graph, values)
    name = f"the backbone {path}"
    found = _run(open_session(data, name, _REMEDY), output, image.name, image.blank(2))
    axes, features = _pooled(found.shape, image.layout)
    pool = "mean" if len(axes) == 2 else values.get("pool", "first")
    graph = _composed(model, image, output, axes, features, pool)
    _check_features(open_session(graph, name, _REMEDY), image.size)
    return Backbone(values.get("name", path.stem), values.get("licence", ""), graph, image.size, features)


def _modern(data: bytes) -> onnx.ModelProto:
    """Parse the model, converted to an operator set to which a head can be added."""
    try:
        import onnx
        from onnx import version_converter
    except ModuleNotFoundError as exc:
        raise MissingExtraError("onnx", "pretrained") from exc
    try:
        model = onnx.load_model_from_string(data)
    except Exception as exc:  # protobuf's own classes
        raise ValueError("is not an ONNX graph, or cut short") from exc
    version = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if not version:
        raise ValueError("is not an ONNX graph, or cut short")
    if version >= _OPSET:
        return model
    try:
        return version_converter.convert_version(model, _OPSET)
    except Exception as exc:  # C++ exceptions without a common type
        raise ValueError(f"is of opset {version}: export it with opset {_OPSET} or newer") from exc


def _known(values: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in values.items():
        if key not in KEYS:
            raise ValueError(f"has the unknown setting {key!r}: choose from {', '.join(KEYS)}")
        if not value.strip() or len(value) > _LONGEST or printable(value) != value:
            raise ValueError(f"has the setting {key} = {value[:40]!r}: give 1 to {_LONGEST} printable characters")
    for key, choices in (("layout", ("nchw", "nhwc")), ("pool", ("first", "mean"))):
        if values.get(key, choices[0]) not in choices:
            raise ValueError(f"has the setting {key} = {values[key]!r}: give {' or '.join(choices)}")
    return values


def _image(graph: onnx.GraphProto, values: Mapping[str, str]) -> _Image:
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"has {len(inputs)} inputs ({_names(inputs)}): export it with the image as its only input")
    name, kind = inputs[0].name, inputs[0].type.tensor_type.elem_type
    sides = [side.dim_value if side.HasField("dim_value") else None for side in inputs[0].type.tensor_type.shape.dim]
    shape = ", ".join("?" if side is None else str(side) for side in sides)
    if len(sides) != 4 or kind not in (_FLOAT, _UINT8):
        raise ValueError(
            f"takes no image: its input {name!r} is not float32 or uint8 of four dimensions, but ({shape})"
        )
    if sides[0] is not None:
        raise ValueError(f"takes {sides[0]} image(s) at a time: export it with a batch of any size")
    layout = values.get("layout") or _layout(sides)
    if sides[1 if layout == "nchw" else 3] not in (3, None):
        raise ValueError(f"takes no RGB image as {layout}: its input {name!r} is ({shape})")
    size = _size(sides[2:] if layout == "nchw" else sides[1:3], values)
    return _Image(name, layout, size, _normalisation(values, kind))


def _layout(sides: Sequence[int | None]) -> str:
    nchw, nhwc = sides[1] == 3, sides[3] == 3
    if nchw == nhwc:
        raise ValueError("has no layout: set layout to nchw or nhwc")
    return "nchw" if nchw else "nhwc"


def _size(sides: Sequence[int | None], values: Mapping[str, str]) -> int:
    """Side of the input images, from the input's shape or the settings."""
    wanted = _numbers(values, "size", (1,))
    found = {*(side for side in sides if side is not None), *wanted}
    if not found:
        raise ValueError("has no image size: set size to a side in pixels")
    size = found.pop()
    if found or size not in _SIZES:
        sizes = " and ".join(f"{each:g}" for each in sorted({size, *found}))
        raise ValueError(f"takes images of {sizes} pixels: export it for squares of {_SIZES[0]} to {_SIZES[-1]:,}")
    return int(size)


def _normalisation(
    values: Mapping[str, str], kind: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    given = [key for key in ("scale", "mean", "std") if key in values]
    if kind == _UINT8:
        if given:
            raise ValueError(f"takes uint8 and normalises it itself: leave out {' and '.join(given)}")
        return None
    if "mean" not in values or "std" not in values:
        raise ValueError("has no normalisation: set mean and std (and scale, default 1/255)")
    (scale,) = _numbers(values, "scale", (1,)) or (1 / 255,)
    mean, std = (np.array(_numbers(values, key, (1, 3))) for key in ("mean", "std"))
    if scale <= 0 or (std <= 0).any():
        raise ValueError("has a scale or std that is not above 0: set it above 0")
    factor, shift = np.broadcast_to(scale / std, 3), np.broadcast_to(mean / std, 3)
    return factor.astype(np.float32), shift.astype(np.float32)


def _numbers(values: Mapping[str, str], key: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    """Finite numbers of a setting, separated by commas; empty if it is missing."""
    if key not in values:
        return ()
    try:
        numbers = tuple(float(part) for part in values[key].split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts or not all(math.isfinite(number) for number in numbers):
        needed = " or ".join(map(str, counts))
        raise ValueError(f"has the setting {key} = {values[key]!r}: give {needed} number(s), separated by commas")
    return numbers


def _output(graph: onnx.GraphProto, values: Mapping[str, str]) -> str:
    names = [each.name for each in graph.output]
    wanted = values.get("output", names[0] if len(names) == 1 else "")
    if wanted not in names:
        what = f"no output {wanted!r}" if wanted else "several outputs"
        raise ValueError(f"has {what}: set output to one of {_names(graph.output)}")
    return wanted


def _run(
    session: onnxruntime.InferenceSession, output: str, name: str, images: npt.NDArray[np.generic]
) -> npt.NDArray[np.float32]:
    try:
        (found,) = session.run([output], {name: images})
    except Exception as exc:  # ONNX Runtime's own classes have no common base
        reason = printable(str(exc).splitlines()[0])[:_LONGEST]
        raise ValueError(f"cannot be run on {len(images)} images of shape {images.shape[1:]}: {reason}") from exc
    if not isinstance(found, np.ndarray) or found.dtype != np.float32:
        raise ValueError(f"gives {getattr(found, 'dtype', 'no array')} as {output!r}: export it with float32 features")
    return found


def _composed(
    model: onnx.ModelProto, image: _Image, output: str, axes: Sequence[int], features: int, pool: str
) -> bytes:
    """Wrap the file's graph between uint8 images (N, S, S, 3) and features (N, D)."""
    from onnx import TensorProto, compose

    from scones_ml.inference.graph_writer import GraphWriter

    writer = GraphWriter("image", TensorProto.UINT8, (image.size, image.size, 3))
    x = "image"
    if image.layout == "nchw":
        x = writer.add("Transpose", x, perm=[0, 3, 1, 2])
    if image.normalisation is not None:
        channels = (3, 1, 1) if image.layout == "nchw" else (3,)
        factor, shift = (writer.constant(part.reshape(channels)) for part in image.normalisation)
        x = writer.add("Sub", writer.add("Mul", writer.add("Cast", x, to=TensorProto.FLOAT), factor), shift)
    writer.add("Identity", x, output=_INNER + image.name)
    writer.include(compose.add_prefix(model, _INNER))
    x = _INNER + output
    if not axes:
        writer.add("Identity", x, output="features")
    elif pool == "mean":
        writer.add("ReduceMean", x, writer.constant(np.array(axes)), output="features", keepdims=0)
    else:
        writer.add("Gather", x, writer.constant(np.array(0)), output="features", axis=axes[0])
    try:
        return writer.serialise("features", features)
    except Exception as exc:  # the checker's own classes
        reason = printable(str(exc).strip().splitlines()[0])[:_LONGEST]
        raise ValueError(f"cannot be checked by onnx: {reason}") from exc


def _pooled(shape: tuple[int, ...], layout: str) -> tuple[tuple[int, ...], int]:
    """Axes to pool, and D, from the shape of the output for two images."""
    axes: tuple[int, ...] = ()
    match shape:
        case (2, features):
            pass
        case (2, _, features):
            axes = (1,)
        case (2, features, _, _) if layout == "nchw":
            axes = (2, 3)
        case (2, _, _, features):
            axes = (1, 2)
        case _:
            features = 0
    if not 2 <= features <= _MOST_FEATURES:
        raise ValueError(
            f"gives features of shape {shape} for two images: export it to give (2, D), (2, tokens, D) or (2, D, h, w) "
            f"with a D of 2 to {_MOST_FEATURES:,}"
        )
    return axes, features


def _check_features(session: onnxruntime.InferenceSession, size: int) -> None:
    """Reject features that are not finite, constant over images, or not repeatable."""
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    first, again = (_run(session, "features", "image", images) for _ in range(2))
    if not np.isfinite(first).all():
        raise ValueError("gives features that are not finite: check mean, std and scale")
    if np.array_equal(first[0], first[1]):
        raise ValueError("gives the same features for every image: choose another output or model")
    if not np.allclose(first, again, rtol=1e-3, atol=1e-5):
        raise ValueError("gives different features for the same images each time: export it in evaluation mode")


def _names(values: Sequence[onnx.ValueInfoProto]) -> str:
    return printable(", ".join(each.name for each in values[:8]))[:_LONGEST]
