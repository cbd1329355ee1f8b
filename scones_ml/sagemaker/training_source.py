"""Source archive of our own training, for AWS's PyTorch container.

==========================  ============================================================
``train.py``                script that the container runs in this folder ``requirements.txt``        packages that the
container installs first
``scones_ml/``              the modules of this library that it imports
``backbone/NAME.onnx``      the backbone of the recipe ``head``, so that none is fetched
==========================  ============================================================

The same sources, backbone and installed versions give the same bytes and the same hash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from scones_ml.errors import ConfigurationError
from scones_ml.packaging.modules import needed_modules
from scones_ml.sagemaker.model_package import archive, requirements

__all__ = ["BACKBONE", "ENTRY_POINT", "own_backbone", "pack", "users_backbone"]

ENTRY_POINT: Final = "train.py"
BACKBONE: Final = "backbone"
"""The folder of the recipe ``head``'s backbone: ``ScriptMode.cache``, or where ``ScriptMode.backbone`` is."""

_PROGRAM = '''"""Entry point of a training job: scones_ml.training under its own name."""

import sys

from scones_ml.training.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
'''
# torch is the container's. The other versions are those installed here, so that the container runs what was tested.
_REQUIREMENTS = ("numpy", "onnx", "onnxruntime", "pillow", "pydantic")

_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 80  # characters of a name; the oldest tar format takes 100 with the folder


def pack(backbone: Mapping[str, bytes] | None = None) -> bytes:
    """Build the gzipped tar archive for ``ScriptMode.source``.

    Args:
        backbone: result of :func:`own_backbone` or :func:`users_backbone`, for the recipe ``head``.

    Raises:
        MissingExtraError: a package to pin is not installed.
    """
    files = {ENTRY_POINT: _PROGRAM.encode(), "requirements.txt": requirements(_REQUIREMENTS, "pretrained").encode()}
    files |= {name: path.read_bytes() for name, path in needed_modules(_PROGRAM).items()}
    return archive(files | dict(backbone or {}))


@cache
def own_backbone(size: int) -> Mapping[str, bytes]:
    """The default backbone of the recipe ``head``, by its path in the archive, laid out like training's cache.

    So the model's card describes its backbone in the same way, SHA-256 included, wherever it was trained.

    Args:
        size: side of the images, in pixels.

    Raises:
        ConfigurationError: the backbone does not accept the size.
        MissingExtraError: the weights are not installed.
    """
    from scones_ml.backbones import efficientnet_lite0  # imports numpy, which describing a job does not need

    with TemporaryDirectory(prefix="scones-backbone-") as folder:
        efficientnet_lite0(size, Path(folder))
        return {f"{BACKBONE}/{file.name}": file.read_bytes() for file in Path(folder).iterdir()}


def users_backbone(file: Path, size: int) -> Mapping[str, bytes]:
    """A user's backbone, by its path in the archive, under its own name, which may be its only identification.

    Args:
        file: an ONNX file.
        size: side of the images, in pixels.

    Raises:
        ConfigurationError: the file cannot be used as a backbone, or takes images of another size.
        MissingExtraError: onnx or ONNX Runtime is not installed.
    """
    from scones_ml.backbones import load_onnx

    if (found := load_onnx(file).input_size) != size:
        raise ConfigurationError(f"the backbone {file} takes images of {found} pixels, not of {size}")
    name = _ODD.sub("-", file.stem)[:_LONGEST]  # it becomes an option on a command line
    return {f"{BACKBONE}/{name}.onnx": file.read_bytes()}
