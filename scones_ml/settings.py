"""Settings from SCONES_* environment variables, read in this module only.

======================  ==============================  ====================================================
variable                values                          meaning
======================  ==============================  ====================================================
SCONES_CLASSIFIER       sagemaker:NAME | onnx:MODEL     classifier of images; MODEL is a folder, a
                                                        model.tar.gz, or one in S3: s3://bucket/model.tar.gz
SCONES_LABELS           bicycle,motorcycle              class names in the model's order (for sagemaker:); a JSON list
                                                        where a name holds a comma
SCONES_THRESHOLD        0 < number <= 1 | none          minimum accepted confidence; none: a person reviews
                                                        every image, for a model without a threshold
SCONES_OBJECT_STORE     s3 (default) | directory:PATH   store of images and outcomes; a workspace's buckets also
                        | workspace:PATH                find images in S3 and in folders of this machine
SCONES_STATE_MACHINE    an ARN                          state machine started for each image
SCONES_IMAGE_SIZE       pixels, 224                     side of the model's square input, its input_size
SCONES_IMAGE_FIT        crop | pad | stretch            how images become square, the model's fit; unset for a
                                                        model of policy 1, which version 0.1 trained
SCONES_MAX_IMAGE_BYTES  bytes, 80000000                 larger objects are quarantined undecoded
SCONES_MAX_IMAGE_PIXELS pixels, 64000000                larger images are quarantined undecoded
SCONES_READERS          objects, 8                      objects of a batch read and decoded at a time
SCONES_TRACING          0 (default) | 1                 X-Ray tracing by Powertools
SCONES_METRICS          0 (default) | 1                 CloudWatch metrics by Powertools
======================  ==============================  ====================================================

On AWS unset variables are read from the outputs of a CloudFormation stack:

============================  ==========================  ==============================================
SCONES_STACK                  a name, scones              name of the stack
SCONES_BUCKET                 bucket, s3://bucket/prefix  data, source, models and captures
SCONES_ROLE                   an ARN                      role assumed by SageMaker
SCONES_STATE_MACHINE          an ARN                      state machine for one image
SCONES_BATCH_STATE_MACHINE    an ARN                      state machine for all images under a prefix
SCONES_INPUT_BUCKET           bucket                      bucket of arriving images
SCONES_OUTPUT_BUCKET          bucket                      bucket of outcomes
============================  ==========================  ==============================================

AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME, boto3's own variable, points the classifier at an endpoint on this machine.
Every function takes the environment as a mapping, and reads it at each call.

Internal: may change without notice.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from scones_ml.errors import ConfigurationError
from scones_ml.limits import BUCKET_NAME
from scones_ml.wording import share_hint

__all__ = [
    "AwsNames",
    "Fit",
    "ImagePolicy",
    "Target",
    "aws_names",
    "check_threshold",
    "classifier",
    "image_fit",
    "image_policy",
    "labels",
    "labels_text",
    "metrics_enabled",
    "object_store",
    "read_labels",
    "readers",
    "runtime_url",
    "state_machine",
    "threshold",
    "threshold_text",
    "tracing_enabled",
]

Environ = Mapping[str, str]

Fit = Literal["crop", "pad", "stretch"]
"""How an image becomes square: its middle, the whole on white, or the whole out of proportion."""


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """Limits for images, and their conversion to a model's input.

    Attributes:
        max_bytes: maximum file size; larger objects are rejected undecoded.
        max_pixels: maximum width x height; larger images are rejected undecoded. See :mod:`scones_ml.images` for
            further limits.
        image_size: side of the model's square, in pixels. At the default of 224 any image fits into a state's
            262,144 bytes.
        fit: how images become square; policy 1 always stretches.
        version: version of the image policy, 1 or 2; see :mod:`scones_ml.images`.
    """

    max_bytes: int = 80_000_000
    max_pixels: int = 64_000_000
    image_size: int = 224
    fit: Fit = "crop"
    version: Literal[1, 2] = 2

    def of_model(self, image_size: int, fit: Fit | None) -> ImagePolicy:
        """These limits with a model's size and fit.

        Args:
            image_size: side of the model's square, in pixels.
            fit: how images become square; None for a model of policy 1.
        """
        if fit is None:
            return replace(self, image_size=image_size, fit="stretch", version=1)
        return replace(self, image_size=image_size, fit=fit, version=2)


_DEFAULTS = ImagePolicy()
_THRESHOLD = "give a number above 0 and at most 1, such as the threshold in model.json"
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Target:
    """A setting of the form ``kind:name``; the name may be empty."""

    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class AwsNames:
    """Names of AWS resources in the environment; None if unset.

    Attributes:
        bucket: ``s3://bucket`` or ``s3://bucket/prefix``, without a slash at the end.
        role: ARN of the role assumed by SageMaker.
        state_machine: ARN of the state machine for one image.
        batch_state_machine: ARN of the state machine for many images.
        input_bucket: bucket of arriving images.
        output_bucket: bucket of outcomes.
        stack: CloudFormation stack whose outputs give unset names.
    """

    bucket: str | None = None
    role: str | None = None
    state_machine: str | None = None
    batch_state_machine: str | None = None
    input_bucket: str | None = None
    output_bucket: str | None = None
    stack: str = "scones"


def classifier(environ: Environ = os.environ) -> Target:
    """Classifier of images: ``sagemaker:ENDPOINT`` or ``onnx:MODEL``."""
    return _target(environ, "SCONES_CLASSIFIER", {"sagemaker": True, "onnx": True}, None)


def object_store(environ: Environ = os.environ) -> Target:
    """Object store: ``s3``, ``directory:PATH`` or ``workspace:PATH``."""
    return _target(environ, "SCONES_OBJECT_STORE", {"s3": False, "directory": True, "workspace": True}, "s3")


def labels(environ: Environ = os.environ) -> tuple[str, ...]:
    """Class names in the model's order.

    Raises:
        ConfigurationError: unset, or fewer than two names.
    """
    names = read_labels(environ.get("SCONES_LABELS", ""))
    if len(names) < 2:
        raise ConfigurationError(
            "SCONES_LABELS must name the model's classes in order: SCONES_LABELS=bicycle,motorcycle, or as a JSON list "
            'where a name holds a comma: ["bus, coach","car"]'
        )
    return names


def read_labels(text: str) -> tuple[str, ...]:
    """Parse class names as written by :func:`labels_text`; empty if the text is invalid."""
    if not text.lstrip().startswith("["):
        return tuple(name.strip() for name in text.split(",") if name.strip())
    try:
        found = json.loads(text)
    except ValueError:
        return ()
    return tuple(found) if all(isinstance(name, str) for name in found) else ()


def labels_text(names: Sequence[str]) -> str:
    """Class names as text for SCONES_LABELS and the stack's parameter: joined by commas, or a JSON list."""
    joined = ",".join(names)
    return joined if read_labels(joined) == tuple(names) else json.dumps(list(names), separators=(",", ":"))


def runtime_url(environ: Environ = os.environ) -> str | None:
    """URL of SageMaker's runtime API, if not AWS's."""
    return environ.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME") or None


def state_machine(environ: Environ = os.environ) -> str:
    """ARN of the state machine started for each image.

    Raises:
        ConfigurationError: unset, or not an ARN.
    """
    arn = environ.get("SCONES_STATE_MACHINE", "")
    if not arn.startswith("arn:"):
        given = f"is {arn!r}" if arn else "is not set"
        raise ConfigurationError(f"SCONES_STATE_MACHINE {given}: give the state machine's ARN")
    return arn


def threshold(environ: Environ = os.environ) -> float | None:
    """Minimum accepted confidence, in (0, 1]; None for the value ``none``.

    Raises:
        ConfigurationError: unset, not a number, or out of range; there is no default.
    """
    text = environ.get("SCONES_THRESHOLD", "")
    if text == _NONE:
        return None
    try:
        value = float(text)
    except ValueError:
        given = f"is {text!r}" if text else "is not set"
        raise ConfigurationError(f"SCONES_THRESHOLD {given}: {_THRESHOLD}, or none to review all") from None
    return check_threshold(value, "SCONES_THRESHOLD")


def threshold_text(value: float | None) -> str:
    """Threshold as text for :func:`threshold` and the stack's parameter; ``none`` for None."""
    return _NONE if value is None else repr(value)


def check_threshold(value: float, name: str) -> float:
    """Check that a threshold is a number in (0, 1].

    Args:
        value: minimum accepted confidence.
        name: name of its option, variable or argument, for the message.

    Raises:
        ConfigurationError: out of range, or not a number.
    """
    if not 0.0 < value <= 1.0:
        raise ConfigurationError(f"{name} is {value:g}: {share_hint(value) or _THRESHOLD}")
    return value


def image_policy(environ: Environ = os.environ) -> ImagePolicy:
    """Image policy, with the defaults of :class:`ImagePolicy` for unset variables.

    Without SCONES_IMAGE_FIT it is policy 1, so that functions deployed by version 0.1 keep their behaviour.

    Raises:
        ConfigurationError: a value is invalid.
    """
    caps = ImagePolicy(
        max_bytes=_positive(environ, "SCONES_MAX_IMAGE_BYTES", _DEFAULTS.max_bytes),
        max_pixels=_positive(environ, "SCONES_MAX_IMAGE_PIXELS", _DEFAULTS.max_pixels),
    )
    return caps.of_model(_positive(environ, "SCONES_IMAGE_SIZE", _DEFAULTS.image_size), image_fit(environ))


def image_fit(environ: Environ = os.environ) -> Fit | None:
    """How images become square; None for a model of policy 1."""
    fit = environ.get("SCONES_IMAGE_FIT") or None
    if fit is not None and fit not in get_args(Fit):
        raise ConfigurationError(f"SCONES_IMAGE_FIT is {fit!r}: give {', '.join(get_args(Fit))}, the fit in model.json")
    return cast("Fit | None", fit)


def readers(environ: Environ = os.environ) -> int:
    """Number of objects of a batch read and decoded at a time."""
    return _positive(environ, "SCONES_READERS", 8)  # botocore keeps ten connections to a service


def tracing_enabled(environ: Environ = os.environ) -> bool:
    """Whether handlers send X-Ray traces."""
    return _switch(environ, "SCONES_TRACING")


def metrics_enabled(environ: Environ = os.environ) -> bool:
    """Whether handlers write CloudWatch metrics to their logs."""
    return _switch(environ, "SCONES_METRICS")


def aws_names(environ: Environ = os.environ) -> AwsNames:
    """Names of AWS resources from the environment.

    Raises:
        ConfigurationError: a value is not an ARN or a bucket's name.
    """
    return AwsNames(
        bucket=_bucket_uri(environ),
        role=_optional(environ, "SCONES_ROLE", _ARN, "an ARN"),
        state_machine=_optional(environ, "SCONES_STATE_MACHINE", _ARN, "the state machine's ARN"),
        batch_state_machine=_optional(environ, "SCONES_BATCH_STATE_MACHINE", _ARN, "the state machine's ARN"),
        input_bucket=_optional(environ, "SCONES_INPUT_BUCKET", BUCKET_NAME, "a bucket's name"),
        output_bucket=_optional(environ, "SCONES_OUTPUT_BUCKET", BUCKET_NAME, "a bucket's name"),
        stack=environ.get("SCONES_STACK") or "scones",
    )


_ARN = r"arn:[a-z-]+:.+"


def _bucket_uri(environ: Environ) -> str | None:
    uri = _optional(environ, "SCONES_BUCKET", rf"(s3://)?{BUCKET_NAME}(/.*)?", "a bucket's name or s3://bucket/prefix")
    return None if uri is None else f"s3://{uri.removeprefix('s3://').rstrip('/')}"


def _optional(environ: Environ, variable: str, pattern: str, form: str) -> str | None:
    text = environ.get(variable) or None
    if text is not None and re.fullmatch(pattern, text) is None:
        raise ConfigurationError(f"{variable} is {text!r}: give {form}")
    return text


def _target(environ: Environ, variable: str, kinds: Mapping[str, bool], default: str | None) -> Target:
    """Parse ``kind`` or ``kind:name``; ``kinds`` maps kinds to whether they need a name."""
    text = environ.get(variable) or default
    forms = " or ".join(f"{kind}:..." if named else kind for kind, named in kinds.items())
    if text is None:
        raise ConfigurationError(f"{variable} is not set: give {forms}")
    kind, _, name = text.partition(":")
    if kind not in kinds or kinds[kind] != bool(name):
        raise ConfigurationError(f"{variable} is {text!r}: give {forms}")
    return Target(kind, name)


def _positive(environ: Environ, variable: str, default: int) -> int:
    text = environ.get(variable, str(default))
    if not (text.isascii() and text.isdigit() and int(text) > 0):  # isdigit alone takes "²", which int refuses
        raise ConfigurationError(f"{variable} is {text!r}: give a whole number above 0")
    return int(text)


def _switch(environ: Environ, variable: str) -> bool:
    text = environ.get(variable, "0")
    if text not in ("0", "1"):
        raise ConfigurationError(f"{variable} is {text!r}: give 0 or 1")
    return text == "1"
