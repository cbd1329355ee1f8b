"""Contents of each function's package.

Distributions are listed, not resolved, so that a package holds only what its function imports. boto3 is in every Lambda
runtime. Versions are those installed here, so that what was tested is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Literal

from scones_ml.errors import ConfigurationError
from scones_ml.packaging.modules import needed_modules
from scones_ml.workflows.handlers import handler_file, handler_uses

__all__ = ["FUNCTIONS", "Classifier", "distributions", "is_needed", "modules"]

Classifier = Literal["sagemaker", "onnx"]
"""Where images are classified: by an endpoint, or by a model inside the function."""

_EVENTS: Final = (
    "annotated-types",
    "aws-lambda-powertools",
    "jmespath",
    "pydantic",
    "pydantic-core",
    "typing-extensions",
    "typing-inspection",
)
_IMAGES: Final = ("pi-heif", "pillow")
_MODEL: Final = ("numpy", "onnxruntime")
_TRACING: Final = ("aws-xray-sdk", "wrapt")

FUNCTIONS: Final = (
    "serialize_image_data",
    "classify_image_data",
    "filter_low_confidence",
    "classify_batch",
    "start_image_classification",
)
_READS_IMAGES: Final = ("serialize_image_data", "classify_image_data", "classify_batch")
_CLASSIFIES: Final = ("classify_image_data", "classify_batch")

_LEFT_OUT: Final = (
    "*.c",
    "*.h",
    "*.pxd",
    "*.pyi",
    "*.pyx",
    "*/__pycache__/*",
    "*/tests/*",
    "*.dist-info/INSTALLER",
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/entry_points.txt",
    # No text is drawn on images, and there is no desktop.
    "PIL/ImageTk.py",
    "PIL/_imagingft.*",
    "PIL/_imagingtk.*",
    "pillow.libs/libbrotli*",
    "pillow.libs/libfreetype-*",
    "pillow.libs/libharfbuzz-*",
    "pillow.libs/libpng16-*",
    "numpy/_core/include/*",
    "numpy/f2py/*",
    # ONNX Runtime's C library: the Python module has its own copy. The folders are tools to convert models.
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/backend/*",
    "onnxruntime/datasets/*",
    "onnxruntime/quantization/*",
    "onnxruntime/tools/*",
    "onnxruntime/transformers/*",
)

_STORE, _ENDPOINT = "scones_ml.aws.store", "scones_ml.aws.classifier"
_MODEL_MODULES: Final = (_STORE, "scones_ml.inference.shared")  # the model may be in S3
_LOADED_BY_NAME: Final[Mapping[str, tuple[str, ...]]] = {
    "backends.read_object": (_STORE,),
    "backends.result_exists": (_STORE,),
    "backends.start_execution": ("scones_ml.aws.executions",),
    "backends.write_result": (_STORE,),
}
"""Modules that ``scones_ml.backends`` loads by name, for each of its functions that handlers use."""


def distributions(function: str, classifier: Classifier, *, tracing: bool) -> tuple[str, ...]:
    """Distributions in a function's package, sorted.

    Raises:
        ConfigurationError: there is no such function.
    """
    if function not in FUNCTIONS:
        raise ConfigurationError(f"there is no function {function!r}: choose from {', '.join(FUNCTIONS)}")
    names = list(_EVENTS)
    if function in _READS_IMAGES:
        names += _IMAGES
    if _model_inside(function, classifier):
        names += _MODEL
    if tracing:
        names += _TRACING
    return tuple(sorted(names))


def modules(function: str, classifier: Classifier) -> dict[str, Path]:
    """Modules of scones_ml in a function's package: path in the package to the file here, sorted."""
    lazily = [name for use in handler_uses(function) for name in _LOADED_BY_NAME.get(use, ())]
    if function in _CLASSIFIES:
        lazily += _MODEL_MODULES if classifier == "onnx" else (_ENDPOINT,)
    return needed_modules(handler_file(function).read_text(encoding="utf-8"), lazily)


def is_needed(path: str) -> bool:
    """Whether a distribution's file is needed at run time; licences are kept."""
    return not path.startswith("..") and not any(fnmatch(path, pattern) for pattern in _LEFT_OUT)


def _model_inside(function: str, classifier: Classifier) -> bool:
    return classifier == "onnx" and function in _CLASSIFIES
