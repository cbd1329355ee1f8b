"""What will be built, as frozen data: nothing is written here."""

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
    """What to build.

    Attributes:
        folder: where ``NAME/`` and ``NAME.zip`` go for each function.
        target: the Lambda runtime.
        classifier: ``"sagemaker"`` asks an endpoint; ``"onnx"`` packs ONNX Runtime.
        model: a model's folder to travel with the function as ``model/``; None leaves it in S3.
        tracing: whether to pack what SCONES_TRACING=1 needs.
        functions: which ones.
    """

    folder: Path = Path("build/lambda")
    target: Target = field(default_factory=Target)
    classifier: contents.Classifier = "sagemaker"
    model: Path | None = None
    tracing: bool = False
    functions: tuple[str, ...] = contents.FUNCTIONS


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One distribution at one version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class FunctionPlan:
    """One package.

    Attributes:
        name: of the function, its handler's file and its folder.
        folder: what CodeUri names.
        archive: the same as a zip.
        pins: the distributions in it.
        files: our own files: path in the package, and where it is now; sorted.
    """

    name: str
    folder: Path
    archive: Path
    pins: tuple[Pin, ...]
    files: tuple[tuple[str, Path], ...]


@dataclass(frozen=True, slots=True)
class PackagePlan:
    """Every package.

    Attributes:
        target: the Lambda runtime.
        functions: one plan each.
        installed: whether the distributions are copied from this environment, which fits when the target is this
            machine; else wheels are downloaded.
    """

    target: Target
    functions: tuple[FunctionPlan, ...]
    installed: bool

    @property
    def pins(self) -> tuple[Pin, ...]:
        """Every distribution of any function, sorted."""
        return tuple(sorted({pin for function in self.functions for pin in function.pins}))


def plan(request: PackageRequest) -> PackagePlan:
    """Decide what each package holds.

    Raises:
        ConfigurationError: an unknown function, a model that is none, or one without ONNX Runtime.
        MissingExtraError: a distribution is not installed here, so that its version is not known.
    """
    if request.model is not None:
        if request.classifier != "onnx":
            raise ConfigurationError("a model travels with the function only where ONNX Runtime does: choose onnx")
        for name in _MODEL_FILES:
            if not (request.model / name).is_file():
                raise ConfigurationError(f"the model {request.model} holds no {name}: give a model's folder")
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
