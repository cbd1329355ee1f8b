"""Model packages for AWS's inference containers, ``model.tar.gz``.

=========================  ===========================================================
``model.onnx``             the model
``model.json``             its card
``code/inference.py``      the container's entry points ``code/requirements.txt``  packages that the container installs
first
``code/scones_ml/``        the modules of this library that it imports
=========================  ===========================================================

The same model, sources and installed versions give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from scones_ml.errors import MissingExtraError
from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH, ModelCard, read_card, read_file
from scones_ml.packaging.modules import needed_modules
from scones_ml.ports import BuiltInModel

__all__ = ["ModelPackage", "archive", "pack_model", "requirements"]

_PROGRAM: Final = Path(__file__).with_name("container.py")
# The versions installed here, so that the container runs what was tested.
_REQUIREMENTS: Final = ("numpy", "onnxruntime", "pi-heif", "pillow", "pydantic")


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model packed for a container.

    Attributes:
        data: the bytes of ``model.tar.gz``.
        hash: SHA-256 of its uncompressed contents, 64 hex digits; independent of zlib's version.
        card: the model's card.
    """

    data: bytes
    hash: str
    card: ModelCard


def pack_model(model: Path | BuiltInModel) -> ModelPackage | None:
    """Build the package of a model's folder or ``model.tar.gz``; None for a model that is already in S3.

    Raises:
        ConfigurationError: ``model`` is not a model.
        MissingExtraError: a package to pin is not installed.
    """
    if isinstance(model, BuiltInModel):
        return None
    card, modules = read_card(model), needed_modules(_PROGRAM.read_text(encoding="utf-8"))
    files = {
        MODEL_GRAPH: read_file(model, MODEL_GRAPH),
        MODEL_CARD: read_file(model, MODEL_CARD),
        "code/inference.py": _PROGRAM.read_bytes(),
        "code/requirements.txt": requirements(_REQUIREMENTS, "onnx").encode(),
        **{f"code/{name}": path.read_bytes() for name, path in modules.items()},
    }
    content = _tar(files)
    # mtime=0: the bytes do not depend on the time of packing. The hash is of the tar, since versions of zlib differ.
    return ModelPackage(gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest(), card)


def archive(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar archive whose bytes depend only on names and contents."""
    return gzip.compress(_tar(files), mtime=0)


def requirements(packages: tuple[str, ...], extra: str) -> str:
    """A requirements file that pins packages to the versions installed here.

    Raises:
        MissingExtraError: a package is not installed; the message names ``extra``.
    """
    try:
        return "".join(f"{name}=={metadata.version(name)}\n" for name in packages)
    except metadata.PackageNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "heif" if exc.name == "pi-heif" else extra) from exc


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as members:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)  # time, owner and mode are fixed by its defaults
            entry.size = len(files[name])
            members.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()
