"""``scones deploy``: here or on SageMaker."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.invocation import command
from scones_ml.cli.no_threshold import warn_of_no_threshold
from scones_ml.cli.options import DryRun, Json, On, TimeToLive, Workspace, names, new_run
from scones_ml.cli.plans import cost_line, show_plans
from scones_ml.errors import ConfigurationError
from scones_ml.ports import BuiltInModel, DeploymentRequest, RealTime, Serverless
from scones_ml.settings import Fit, check_threshold, labels_text, threshold_text

if TYPE_CHECKING:
    from scones_ml.ports import Endpoint

__all__ = ["deploy"]

_AWS = "With --on aws"
_BUILT_IN = "What the built-in algorithm trained"

Model = Annotated[
    str,
    typer.Argument(
        help="Model folder or model.tar.gz, or s3://.../model.tar.gz of SageMaker's built-in algorithm.",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Option("--name", help="Endpoint name.")]
Percentage = Annotated[
    int | None,
    typer.Option(
        "--capture-percentage",
        min=0,
        max=100,
        help="Percentage of requests to capture (default: 100 where capture is supported).",
    ),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Local port; 0 picks a free one.")]
InstanceType = Annotated[
    str | None, typer.Option("--instance-type", help="Instance type (default: ml.m5.large).", rich_help_panel=_AWS)
]
Instances = Annotated[
    str | None,
    typer.Option(
        "--instances", help="Number of instances; 2-6 scales between 2 and 6 with the load.", rich_help_panel=_AWS
    ),
]
ServerlessFlag = Annotated[
    bool, typer.Option("--serverless", help="Serverless: billed per request, with cold starts.", rich_help_panel=_AWS)
]
Memory = Annotated[
    int | None,
    typer.Option("--memory", help="Memory of a serverless endpoint, in MB (default: 2048).", rich_help_panel=_AWS),
]
Container = Annotated[
    str | None, typer.Option("--container", help="Custom container image URI (default: AWS's).", rich_help_panel=_AWS)
]
ClassNames = Annotated[
    str | None,
    typer.Option(
        "--classes", help="Class names, comma-separated, in the order of their indices.", rich_help_panel=_BUILT_IN
    ),
]
ImageSize = Annotated[
    int,
    typer.Option(
        "--image-size", min=8, help="Image size that the model was trained on, in pixels.", rich_help_panel=_BUILT_IN
    ),
]
ModelFit = Annotated[
    Fit | None,
    typer.Option(
        "--fit",
        help="How images are made square (default: as version 0.1 staged them).",
        rich_help_panel=_BUILT_IN,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", help="Minimum confidence to accept, above 0 and at most 1.", rich_help_panel=_BUILT_IN),
]


def deploy(
    context: typer.Context,
    model: Model,
    name: Name = "scones",
    capture_percentage: Percentage = None,
    port: Port = 0,
    instance_type: InstanceType = None,
    instances: Instances = None,
    serverless: ServerlessFlag = False,
    memory: Memory = None,
    container: Container = None,
    classes: ClassNames = None,
    image_size: ImageSize = 224,
    fit: ModelFit = None,
    threshold: Threshold = None,
    ttl: TimeToLive = None,
    on: On = "local",
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Deploy a model to an endpoint, on this machine or on SageMaker, until `scones cleanup`."""
    from scones_ml import lifecycle

    if on == "aws" and port:
        raise ConfigurationError("--port is of an endpoint on this machine: leave it out")
    if on == "local":
        _only_on_aws(instance_type, instances, serverless, memory, container)
    request = DeploymentRequest(
        name,
        _model(model, names(classes) or (), image_size, threshold, fit),
        capture_percentage,
        port,
        _variant(instance_type, instances, serverless, memory),
        container,
    )
    backend = backends_of(context).backend(on, workspace, new_run(ttl))
    if dry_run:
        plan = lifecycle.preview_deploy(backend, request)
        show_plans([plan], json)
        if on == "aws" and not plan.unseen:
            terminal.say(f"compared with what exists in {plan.place.removeprefix('aws:')}")
        return
    with terminal.steps() as steps:
        plan = lifecycle.plan_deploy(backend, request, steps)
        endpoint = lifecycle.deploy(backend, request, steps, plan)
    if json:
        terminal.print_json(dataclasses.asdict(endpoint))
        return
    warn_of_no_threshold(request.model)
    terminal.out.print(endpoint.url)
    if endpoint.captures:
        terminal.say(f"captures go to {endpoint.captures}")
    if on == "aws" and plan.changes:
        terminal.say(cost_line(plan.dollars_per_hour, plan.place))
    _say_next(endpoint, request, on)


def _model(
    model: str, labels: tuple[str, ...], image_size: int, threshold: float | None, fit: Fit | None
) -> Path | BuiltInModel:
    if not model.startswith("s3://"):
        if labels or threshold is not None or fit:
            raise ConfigurationError(
                f"{model} knows its classes, threshold and fit: leave --classes, --threshold and --fit out"
            )
        return Path(model)
    if not labels:
        raise ConfigurationError(f"{model} does not say its classes: give --classes, in the order of their numbers")
    if threshold is not None:
        check_threshold(threshold, "--threshold")
    return BuiltInModel(model, labels, image_size, threshold, fit)


def _variant(
    instance_type: str | None, instances: str | None, serverless: bool, memory: int | None
) -> RealTime | Serverless:
    if serverless:
        if instance_type or instances:
            raise ConfigurationError("a serverless endpoint has no machines: leave --instance-type and --instances out")
        return Serverless(memory_mb=memory or Serverless().memory_mb)
    if memory is not None:
        raise ConfigurationError("--memory is a serverless endpoint's: add --serverless, or give --instance-type")
    least, most = _range(instances or "1")
    return RealTime(instance_type or RealTime().instance_type, least, most)


def _range(text: str) -> tuple[int, int | None]:
    """``"2-6"`` as 2 and 6, ``"2"`` as 2 and None."""
    match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text)
    if match is None:
        raise ConfigurationError(f"--instances {text!r}: give a number, or two as in 2-6")
    return int(match[1]), int(match[2]) if match[2] else None


def _only_on_aws(*given: str | int | bool | None) -> None:
    if any(given):
        raise ConfigurationError(
            "--instance-type, --instances, --serverless, --memory and --container are SageMaker's: add --on aws"
        )


def _say_next(endpoint: Endpoint, request: DeploymentRequest, on: str) -> None:
    here = f"--no-sign-request --region us-east-1 --endpoint-url {endpoint.url} " if on == "local" else ""
    terminal.say_command(
        "try: ",
        f"aws {here}sagemaker-runtime invoke-endpoint --endpoint-name {endpoint.name} "
        "--content-type image/png --body fileb://IMAGE.png /dev/stdout",
    )
    if on == "local":
        terminal.say_next(("run", "IMAGE.png"), ("cleanup",))
        return
    if isinstance(request.variant, RealTime) and request.variant.instances == 1:
        terminal.say(
            "one instance only: with --instances 2 the endpoint survives the failure of one, or of its data centre"
        )
    parameters = {
        "EndpointName": endpoint.name,
        "Labels": labels_text(endpoint.labels),
        "Threshold": threshold_text(endpoint.threshold),
        **({"ReviewRatePercent": 100} if endpoint.threshold is None else {}),  # all go to review: no alarm
        "ImageSize": endpoint.image_size,
        **({"ImageFit": endpoint.fit} if endpoint.fit else {}),
    }
    overrides = " ".join(shlex.quote(f"{key}={value}") for key, value in parameters.items())
    terminal.say_command("next: ", f"sam deploy ... --parameter-overrides {overrides}")
    terminal.say_command("      ", command("cleanup", "--on", "aws"))
