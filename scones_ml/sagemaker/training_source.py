"""Our own training as the source archive of AWS's PyTorch container.

==========================  ============================================================
``train.py``                what the container runs, in this folder
``requirements.txt``        what the container installs first
``scones_ml/``              the modules of this library that it imports
``backbone/NAME.onnx``      the backbone of the recipe ``head``, so that none is fetched
==========================  ============================================================

The same sources, backbone and installed versions give the same bytes, so that the archive's hash names it.
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
# torch is the container's own. Versions are those installed here, so that what runs there is what was tested.
_REQUIREMENTS = ("numpy", "onnx", "onnxruntime", "pillow", "pydantic")

_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 80  # characters of a name; a tar archive of the oldest kind takes 100 with its folder


def pack(backbone: Mapping[str, bytes] | None = None) -> bytes:
    """The gzipped tar archive, to be put where ``ScriptMode.source`` says.

    Args:
        backbone: what :func:`own_backbone` or :func:`users_backbone` gave, for the recipe ``head``.

    Raises:
        MissingExtraError: a package whose version is to be written down is not installed.
    """
    files = {ENTRY_POINT: _PROGRAM.encode(), "requirements.txt": requirements(_REQUIREMENTS, "pretrained").encode()}
    files |= {name: path.read_bytes() for name, path in needed_modules(_PROGRAM).items()}
    return archive(files | dict(backbone or {}))


@cache
def own_backbone(size: int) -> Mapping[str, bytes]:
    """The recipe ``head``'s own backbone, by its path in the archive, as training finds it in a cache.

    So the model says the same of its backbone, sha256 included, wherever it was trained.

    Args:
        size: side of the images, in pixels.

    Raises:
        ConfigurationError: a size that it does not take.
        MissingExtraError: its weights are not installed.
    """
    from scones_ml.backbones import efficientnet_lite0  # brings numpy, which describing a job does without

    with TemporaryDirectory(prefix="scones-backbone-") as folder:
        efficientnet_lite0(size, Path(folder))
        return {f"{BACKBONE}/{file.name}": file.read_bytes() for file in Path(folder).iterdir()}


def users_backbone(file: Path, size: int) -> Mapping[str, bytes]:
    """A user's backbone, by its path in the archive: under its own name, for that may be all that names it.

    Args:
        file: an ONNX file.
        size: side of the images, in pixels.

    Raises:
        ConfigurationError: it cannot be used as a backbone, or takes images of another size.
        MissingExtraError: onnx or ONNX Runtime is not installed.
    """
    from scones_ml.backbones import load_onnx

    if (found := load_onnx(file).input_size) != size:
        raise ConfigurationError(f"the backbone {file} takes images of {found} pixels, not of {size}")
    name = _ODD.sub("-", file.stem)[:_LONGEST]  # it becomes an option on a command line
    return {f"{BACKBONE}/{name}.onnx": file.read_bytes()}
