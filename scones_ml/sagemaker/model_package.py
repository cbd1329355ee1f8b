"""A model as the package that AWS's inference containers serve: ``model.tar.gz``.

=========================  ===========================================================
``model.onnx``             the model
``model.json``             its card
``code/inference.py``      what the container calls
``code/requirements.txt``  what the container installs first
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
# Versions are those installed here, so that what runs there is what was tested.
_REQUIREMENTS: Final = ("numpy", "onnxruntime", "pi-heif", "pillow", "pydantic")


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model, ready for a container.

    Attributes:
        data: the bytes of ``model.tar.gz``.
        hash: 64 hex digits that stand for its contents, whatever version of zlib has compressed them.
        card: the model's card.
    """

    data: bytes
    hash: str
    card: ModelCard


def pack_model(model: Path | BuiltInModel) -> ModelPackage | None:
    """Build the package of a model's folder or ``model.tar.gz``; None for what lies in S3 already.

    Raises:
        ConfigurationError: it is not a model.
        MissingExtraError: a package whose version is to be written down is not installed.
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
    # mtime=0: the time of packing is no part of the bytes. The hash is of the tar: versions of zlib differ.
    return ModelPackage(gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest(), card)


def archive(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar archive whose bytes depend on names and contents alone."""
    return gzip.compress(_tar(files), mtime=0)


def requirements(packages: tuple[str, ...], extra: str) -> str:
    """A requirements file that pins packages to the versions installed here.

    Raises:
        MissingExtraError: one is not installed; ``extra`` brings it.
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
