"""Cold start time of the functions, under AWS's runtime client.

Claims: classify takes at most 1.3 times what bare boto3 with a sagemaker-runtime client takes, filter at most 0.75
times; both at most a fifth of a handler that imports the SageMaker SDK as the course does, if ``--sdk`` names one.
All three are claims about the first result, from the start of the process through import and client, so that deferring
work gains nothing. ``ready`` is the part before the first event (Lambda's init); ``warm`` is a later invocation in the
same process.

Conditions: packages as ``scones package`` builds them, for this machine; boto3 comes with the runtime; loopback Runtime
API, endpoint and S3; rounds alternate, and medians are used. The endpoint's model has the recipe ``scratch``, for
images of 32 pixels; models inside the function are it and one of the recipe ``head``, for images of 224 pixels.
Run it: ``python benchmarks/cold_start.py [--rounds N] [--sdk DIR]``; exit code 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scones_ml import dataset, lifecycle, steps
from scones_ml.events import ImageRef
from scones_ml.inference.model import read_card
from scones_ml.local.backend import LocalBackend
from scones_ml.packaging import HOST, PackageRequest, build, plan
from scones_ml.packaging.runtime import LambdaProcess, lambda_process
from scones_ml.ports import DeploymentRequest, Endpoint, Recipe, StoredObject, TrainingRequest
from scones_ml.settings import ImagePolicy

_WARM = 5  # later invocations of each process
_ECHO = "def lambda_handler(event, context):\n    return event\n"
_BARE = """
import base64, json
import boto3
runtime = boto3.client("sagemaker-runtime")
def lambda_handler(event, context):
    body = base64.b64decode(event["image_data"])
    answer = runtime.invoke_endpoint(EndpointName="bikes", ContentType="image/png", Body=body)
    return {"inferences": json.loads(answer["Body"].read())}
"""
_BARE_S3 = 'import boto3\ns3 = boto3.client("s3")\n' + _ECHO
_COURSE = """
import base64, json
import sagemaker
from sagemaker.serializers import IdentitySerializer
from sagemaker.predictor import Predictor
predictor = Predictor("bikes", serializer=IdentitySerializer("image/png"))
def lambda_handler(event, context):
    return {"inferences": json.loads(predictor.predict(base64.b64decode(event["image_data"])))}
"""


@dataclass
class _Case:
    """One function with its measurements, in milliseconds."""

    name: str
    folder: Path
    handler: str
    event: object = None
    more: Mapping[str, str] = field(default_factory=dict)
    modules: Path | None = None
    ready: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)

    def measure(self, variables: Mapping[str, str]) -> None:
        with lambda_process(self.folder, self.handler, {**variables, **self.more}, self.modules) as process:
            self.ready.append(process.ready_seconds * 1000)
            if self.event is not None:
                first, *later = (_invocation(process, self.event) for _ in range(1 + _WARM))
                self.answer.append(self.ready[-1] + first)
                self.warm.append(statistics.median(later))

    def forget(self) -> None:
        for figures in (self.ready, self.answer, self.warm):
            figures.clear()


def _invocation(process: LambdaProcess, event: object) -> float:
    started = time.perf_counter()
    process.invoke(event)
    return (time.perf_counter() - started) * 1000


def _event(drawing: Path, policy: ImagePolicy) -> dict[str, object]:
    """The input of classify for a drawing: the square PNG after the model's fit."""
    stored = StoredObject(ImageRef(s3_bucket="b", s3_key="k"), drawing.read_bytes())
    return steps.serialize_image_data(stored, policy).to_event()


def _source(folder: Path, name: str, text: str) -> tuple[Path, str]:
    (folder / name).mkdir()
    (folder / name / "handler.py").write_text(text)
    return folder / name, "handler.lambda_handler"


def _baselines(scratch: Path, event: object, sdk: Path | None) -> list[_Case]:
    cases = [
        _Case("echo", *_source(scratch, "echo", _ECHO), event),
        _Case("bare boto3 + s3", *_source(scratch, "bare-s3", _BARE_S3)),
        _Case("bare boto3 + sagemaker-runtime", *_source(scratch, "bare", _BARE), event),
    ]
    if sdk is None:
        print("course style: left out; --sdk names a folder that holds the SageMaker SDK, version 2")
        return cases
    return [*cases, _Case("course style", *_source(scratch, "course", _COURSE), event, modules=sdk)]


def _ours(scratch: Path, image: object) -> list[_Case]:
    assert HOST is not None
    verdict = {"s3_bucket": "b", "s3_key": "k", "inferences": [0.2, 0.8]}
    events: dict[str, object] = {"classify_image_data": image, "filter_low_confidence": verdict}
    request = PackageRequest(folder=scratch / "endpoint", target=HOST)
    return [
        _Case(package.name, package.folder, f"{package.name}.lambda_handler", events.get(package.name))
        for package in build(plan(request))
    ]


def _inside(scratch: Path, what: str, model: Path, drawing: Path) -> _Case:
    """Classify with a model in its package."""
    assert HOST is not None
    folder, name = scratch / f"{what} inside", "classify_image_data"
    (package,) = build(plan(PackageRequest(folder, HOST, classifier="onnx", model=model, functions=(name,))))
    card = read_card(model)
    more = {
        "SCONES_CLASSIFIER": "onnx:model",
        "SCONES_IMAGE_SIZE": str(card.input_size),
        "SCONES_IMAGE_FIT": card.fit or "",
    }
    event = _event(drawing, card.image_policy())
    return _Case(f"{name}, {what} inside", package.folder, f"{name}.lambda_handler", event, more)


def _variables(endpoint: Endpoint) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint.url,
        "SCONES_CLASSIFIER": "sagemaker:bikes",
        "SCONES_LABELS": ",".join(endpoint.labels),
        "SCONES_THRESHOLD": "0.9",
        "SCONES_IMAGE_SIZE": str(endpoint.image_size),
        "SCONES_IMAGE_FIT": endpoint.fit or "",
        "SCONES_STATE_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:images",
    }


def _model(scratch: Path, backend: LocalBackend, recipe: Recipe, per_class: int, size: int) -> tuple[Path, Path]:
    """A model of so many drawings a class, and one of them."""
    data = dataset.stage(dataset.Synthetic(per_class=per_class, size=size), scratch / f"{recipe} data").dataset
    model = scratch / f"{recipe} model"
    epochs = 1 if recipe == "scratch" else None
    backend.trainer.train(TrainingRequest(data=data.root, model=model, recipe=recipe, epochs=epochs))
    return model, data.root / data.records[0].path


def _measure(scratch: Path, rounds: int, sdk: Path | None) -> list[_Case]:
    backend = LocalBackend(scratch)
    thumbnails, small = _model(scratch, backend, "scratch", 60, 32)
    photographs, large = _model(scratch, backend, "head", 30, 224)
    image = _event(small, read_card(thumbnails).image_policy())
    cases = [
        *_baselines(scratch, image, sdk),
        *_ours(scratch, image),
        _inside(scratch, "thumbnails' model", thumbnails, small),
        _inside(scratch, "photographs' model", photographs, large),
    ]
    endpoint = lifecycle.deploy(backend, DeploymentRequest("bikes", thumbnails))
    try:
        for case in cases:  # files into the cache
            case.measure(_variables(endpoint))
            case.forget()
        for _ in range(rounds):
            for case in cases:
                case.measure(_variables(endpoint))
    finally:
        backend.deployer.remove("bikes")
    return cases


def _claims(cases: Sequence[_Case]) -> list[tuple[str, bool]]:
    answer = {case.name: statistics.median(case.answer) for case in cases if case.answer}
    bare, classify = answer["bare boto3 + sagemaker-runtime"], answer["classify_image_data"]
    quick = answer["filter_low_confidence"]
    claims = [
        (f"classify at most 1.3 x bare: {classify / bare:.2f}", classify <= 1.3 * bare),
        (f"filter at most 0.75 x bare: {quick / bare:.2f}", quick <= 0.75 * bare),
    ]
    if "course style" in answer:
        course = answer["course style"]
        claims.append((f"both at most a fifth of the course: {classify / course:.2f}", classify <= course / 5))
    return claims


def _show(cases: Sequence[_Case], rounds: int) -> None:
    bare = next(case for case in cases if case.name == "bare boto3 + sagemaker-runtime")
    floor = statistics.median(bare.ready), statistics.median(bare.answer)
    print(f"{f'milliseconds, median of {rounds}':<45}{'ready':>7}{'x bare':>8}{'answer':>8}{'x bare':>8}{'warm':>8}")
    for case in cases:
        line = f"{case.name:<45}{statistics.median(case.ready):7.0f}{statistics.median(case.ready) / floor[0]:8.2f}"
        if case.answer:
            line += f"{statistics.median(case.answer):8.0f}{statistics.median(case.answer) / floor[1]:8.2f}"
            line += f"{statistics.median(case.warm):8.1f}"
        print(line)


def main() -> int:
    """Print the table; return 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sdk", type=Path, help="site-packages of an environment with the SageMaker SDK, version 2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cases = _measure(Path(scratch), options.rounds, options.sdk)
    _show(cases, rounds=options.rounds)
    claims = _claims(cases)
    for claim, holds in claims:
        print(f"{claim}: {'holds' if holds else 'does NOT hold'}")
    return int(not all(holds for _, holds in claims))


if __name__ == "__main__":
    sys.exit(main())
