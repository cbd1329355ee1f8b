"""Build plan of the packages, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scones_ml.errors import ConfigurationError, MissingExtraError
from scones_ml.packaging import contents
from scones_ml.packaging.target import HOST, Target
from scones_ml.workflows.handlers import handler_file

__all__ = ["FunctionPlan", "PackagePlan", "PackageRequest", "Pin", "plan"]

_MODEL_FILES = ("model.json", "model.onnx")
_EXTRAS = {
    "aws-xray-sdk": "tracing",
    "numpy": "onnx",
    "onnxruntime": "onnx",
    "pi-heif": "heif",
    "pillow": "onnx",
    "wrapt": "tracing",
}


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """Request to build packages.

    Attributes:
        folder: folder for ``NAME/`` and ``NAME.zip`` of each function.
        target: the Lambda runtime.
        classifier: ``"sagemaker"`` for an endpoint; ``"onnx"`` includes ONNX Runtime.
        model: a model's folder to include as ``model/``; None leaves it in S3.
        tracing: whether to include the packages for SCONES_TRACING=1.
        functions: names of the functions.
    """

    folder: Path = Path("build/lambda")
    target: Target = field(default_factory=Target)
    classifier: contents.Classifier = "sagemaker"
    model: Path | None = None
    tracing: bool = False
    functions: tuple[str, ...] = contents.FUNCTIONS


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One version of a distribution."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class FunctionPlan:
    """Plan of one package.

    Attributes:
        name: name of the function, its handler's file and its folder.
        folder: the folder, for CodeUri.
        archive: the zip of the folder.
        pins: its distributions.
        files: our own files: path in the package, and source path; sorted.
    """

    name: str
    folder: Path
    archive: Path
    pins: tuple[Pin, ...]
    files: tuple[tuple[str, Path], ...]


@dataclass(frozen=True, slots=True)
class PackagePlan:
    """Plan of all packages.

    Attributes:
        target: the Lambda runtime.
        functions: plan of each function.
        installed: whether distributions are copied from this environment, because the target matches this machine;
            otherwise wheels are downloaded.
    """

    target: Target
    functions: tuple[FunctionPlan, ...]
    installed: bool

    @property
    def pins(self) -> tuple[Pin, ...]:
        """Every distribution of any function, sorted."""
        return tuple(sorted({pin for function in self.functions for pin in function.pins}))


def plan(request: PackageRequest) -> PackagePlan:
    """Plan the contents of each package.

    Raises:
        ConfigurationError: a function is unknown, the model is invalid, or it is given without ONNX Runtime.
        MissingExtraError: a distribution is not installed here, so that its version is unknown.
    """
    if request.model is not None:
        if request.classifier != "onnx":
            raise ConfigurationError("a model in the package needs ONNX Runtime: choose onnx")
        for name in _MODEL_FILES:
            if not (request.model / name).is_file():
                raise ConfigurationError(f"{request.model} has no {name}: give a model's folder")
    functions = tuple(_function(name, request) for name in request.functions)
    return PackagePlan(request.target, functions, installed=request.target == HOST)


def _function(name: str, request: PackageRequest) -> FunctionPlan:
    names = contents.distributions(name, request.classifier, tracing=request.tracing)
    files = contents.modules(name, request.classifier) | {f"{name}.py": handler_file(name)}
    if request.model is not None and "onnxruntime" in names:
        files |= {f"model/{file}": request.model / file for file in _MODEL_FILES}
    return FunctionPlan(
        name=name,
        folder=request.folder / name,
        archive=request.folder / f"{name}.zip",
        pins=tuple(_pin(distribution) for distribution in names),
        files=tuple(sorted(files.items())),
    )


def _pin(name: str) -> Pin:
    try:
        return Pin(name, version(name))
    except PackageNotFoundError as exc:
        raise MissingExtraError(name, _EXTRAS.get(name, "lambda")) from exc
