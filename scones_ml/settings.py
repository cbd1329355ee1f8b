"""The only reader of SCONES_* environment variables.

======================  ==============================  ====================================================
variable                values                          meaning
======================  ==============================  ====================================================
SCONES_CLASSIFIER       sagemaker:NAME | onnx:MODEL     where an image is classified; MODEL is a folder, a
                                                        model.tar.gz, or one in S3: s3://bucket/model.tar.gz
SCONES_LABELS           bicycle,motorcycle              class names in the model's order (for sagemaker:); a JSON list
                                                        where a name holds a comma
SCONES_THRESHOLD        0 < number <= 1 | none          least confidence that is accepted; none: a person decides on
                                                        every image, for a model without a threshold
SCONES_OBJECT_STORE     s3 (default) | directory:PATH   where images lie and outcomes go; a workspace's buckets also
                        | workspace:PATH                find images in S3 and in folders of this machine
SCONES_STATE_MACHINE    an ARN                          what is started for each image
SCONES_IMAGE_SIZE       pixels, 224                     side of the square that the model takes, its input_size
SCONES_IMAGE_FIT        crop | pad | stretch            what makes a square of an image, the model's fit; unset for a
                                                        model of policy 1, which version 0.1 trained
SCONES_MAX_IMAGE_BYTES  bytes, 80000000                 larger objects are quarantined undecoded
SCONES_MAX_IMAGE_PIXELS pixels, 64000000                larger images are quarantined undecoded
SCONES_READERS          objects, 8                      of a batch that are read and decoded at a time
SCONES_TRACING          0 (default) | 1                 X-Ray tracing by Powertools
SCONES_METRICS          0 (default) | 1                 CloudWatch metrics by Powertools
======================  ==============================  ====================================================

On AWS the commands take what is unset from the outputs of a CloudFormation stack:

============================  ==========================  ==============================================
SCONES_STACK                  a name, scones              the stack that is asked
SCONES_BUCKET                 bucket, s3://bucket/prefix  data, source, models and captures
SCONES_ROLE                   an ARN                      the role that SageMaker takes on
SCONES_STATE_MACHINE          an ARN                      classifies one image
SCONES_BATCH_STATE_MACHINE    an ARN                      classifies all images under a prefix
SCONES_INPUT_BUCKET           bucket                      where images arrive
SCONES_OUTPUT_BUCKET          bucket                      where outcomes go
============================  ==========================  ==============================================

AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME, boto3's own variable, points the classifier at an endpoint on this machine.
Every function takes the environment as a mapping, reads it at each call and keeps nothing.

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
"""What makes a square of an image: its middle, all of it on white, or all of it out of proportion."""


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What an image may be, and what becomes of it before a model sees it.

    Attributes:
        max_bytes: larger objects are refused undecoded.
        max_pixels: width x height beyond which an image is refused undecoded; see :mod:`scones_ml.images` for the
            other caps.
        image_size: side of the model's square, in pixels. At the default of 224 any image fits into a state's
            262,144 bytes.
        fit: what makes a square of an image; policy 1 stretches always.
        version: of the policy that the model was trained by, 1 or 2; see :mod:`scones_ml.images`.
    """

    max_bytes: int = 80_000_000
    max_pixels: int = 64_000_000
    image_size: int = 224
    fit: Fit = "crop"
    version: Literal[1, 2] = 2

    def of_model(self, image_size: int, fit: Fit | None) -> ImagePolicy:
        """These caps with a model's reading.

        Args:
            image_size: side of the model's square, in pixels.
            fit: what makes the square; None for a model of policy 1.
        """
        if fit is None:
            return replace(self, image_size=image_size, fit="stretch", version=1)
        return replace(self, image_size=image_size, fit=fit, version=2)


_DEFAULTS = ImagePolicy()
_THRESHOLD = "give a number above 0 and at most 1, such as the threshold in model.json"
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Target:
    """A setting of the form ``kind:name``; the name is empty where the kind needs none."""

    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class AwsNames:
    """What the environment says of where things are on AWS; None where it says nothing.

    Attributes:
        bucket: ``s3://bucket`` or ``s3://bucket/prefix``, without a slash at the end.
        role: ARN of the role that SageMaker takes on.
        state_machine: ARN of the one for one image.
        batch_state_machine: ARN of the one for many images.
        input_bucket: where images arrive.
        output_bucket: where outcomes go.
        stack: the CloudFormation stack whose outputs say the rest.
    """

    bucket: str | None = None
    role: str | None = None
    state_machine: str | None = None
    batch_state_machine: str | None = None
    input_bucket: str | None = None
    output_bucket: str | None = None
    stack: str = "scones"


def classifier(environ: Environ = os.environ) -> Target:
    """Where an image is classified: ``sagemaker:ENDPOINT`` or ``onnx:MODEL``."""
    return _target(environ, "SCONES_CLASSIFIER", {"sagemaker": True, "onnx": True}, None)


def object_store(environ: Environ = os.environ) -> Target:
    """Where objects live: ``s3``, ``directory:PATH`` or ``workspace:PATH``."""
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
    """Class names as :func:`labels_text` writes them; none where it is no such text."""
    if not text.lstrip().startswith("["):
        return tuple(name.strip() for name in text.split(",") if name.strip())
    try:
        found = json.loads(text)
    except ValueError:
        return ()
    return tuple(found) if all(isinstance(name, str) for name in found) else ()


def labels_text(names: Sequence[str]) -> str:
    """Class names as SCONES_LABELS and the stack's parameter take them: joined by commas, or a JSON list."""
    joined = ",".join(names)
    return joined if read_labels(joined) == tuple(names) else json.dumps(list(names), separators=(",", ":"))


def runtime_url(environ: Environ = os.environ) -> str | None:
    """Where SageMaker's runtime API is, if not at AWS."""
    return environ.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME") or None


def state_machine(environ: Environ = os.environ) -> str:
    """The ARN of the state machine that is started for each image.

    Raises:
        ConfigurationError: unset, or not an ARN.
    """
    arn = environ.get("SCONES_STATE_MACHINE", "")
    if not arn.startswith("arn:"):
        given = f"is {arn!r}" if arn else "is not set"
        raise ConfigurationError(f"SCONES_STATE_MACHINE {given}: give the state machine's ARN")
    return arn


def threshold(environ: Environ = os.environ) -> float | None:
    """The least confidence that is accepted, in (0, 1]; None where none is, as ``none`` says.

    Raises:
        ConfigurationError: unset, not a number, or out of range; there is no default to guess.
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
    """A threshold as :func:`threshold` reads it, and the stack's parameter takes it; ``none`` for None."""
    return _NONE if value is None else repr(value)


def check_threshold(value: float, name: str) -> float:
    """The threshold, once it is known to be one: a number in (0, 1].

    Args:
        value: the least confidence that is to be accepted.
        name: the option, variable or argument that gave it, for the message.

    Raises:
        ConfigurationError: out of range, or not a number.
    """
    if not 0.0 < value <= 1.0:
        raise ConfigurationError(f"{name} is {value:g}: {share_hint(value) or _THRESHOLD}")
    return value


def image_policy(environ: Environ = os.environ) -> ImagePolicy:
    """The image policy, with the defaults of :class:`ImagePolicy` for what is unset.

    Without SCONES_IMAGE_FIT it is policy 1, so that functions which version 0.1 deployed go on as they did.

    Raises:
        ConfigurationError: a value that is none.
    """
    caps = ImagePolicy(
        max_bytes=_positive(environ, "SCONES_MAX_IMAGE_BYTES", _DEFAULTS.max_bytes),
        max_pixels=_positive(environ, "SCONES_MAX_IMAGE_PIXELS", _DEFAULTS.max_pixels),
    )
    return caps.of_model(_positive(environ, "SCONES_IMAGE_SIZE", _DEFAULTS.image_size), image_fit(environ))


def image_fit(environ: Environ = os.environ) -> Fit | None:
    """What makes a square of an image; None for a model of policy 1."""
    fit = environ.get("SCONES_IMAGE_FIT") or None
    if fit is not None and fit not in get_args(Fit):
        raise ConfigurationError(f"SCONES_IMAGE_FIT is {fit!r}: give {', '.join(get_args(Fit))}, the fit in model.json")
    return cast("Fit | None", fit)


def readers(environ: Environ = os.environ) -> int:
    """How many objects of a batch are read and decoded at a time."""
    return _positive(environ, "SCONES_READERS", 8)  # botocore keeps ten connections to a service


def tracing_enabled(environ: Environ = os.environ) -> bool:
    """Whether handlers send X-Ray traces."""
    return _switch(environ, "SCONES_TRACING")


def metrics_enabled(environ: Environ = os.environ) -> bool:
    """Whether handlers write CloudWatch metrics to their logs."""
    return _switch(environ, "SCONES_METRICS")


def aws_names(environ: Environ = os.environ) -> AwsNames:
    """Where things are on AWS, as far as the environment says it.

    Raises:
        ConfigurationError: a value that is no ARN or no bucket's name.
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
    """Parse ``kind`` or ``kind:name``; ``kinds`` says which of them need a name."""
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
