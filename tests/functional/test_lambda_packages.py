"""The packages as Lambda runs them: AWS's runtime client, S3 and SageMaker on loopback, environment variables only.

They are built for this machine's interpreter from what is installed; the process sees nothing else of it but boto3.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from PIL import Image

from scones_ml.errors import ConfigurationError, ExecutionFailedError
from scones_ml.events import image_refs
from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH, load_classifier
from scones_ml.local.backend import LocalBackend
from scones_ml.packaging import HOST, Package, PackageRequest, build, plan
from scones_ml.packaging.runtime import LambdaProcess, lambda_process
from scones_ml.ports import DeploymentRequest, Endpoint
from scones_ml.testing import recorded_event, recorded_events

BUCKET, KEY, MODEL_KEY = "scones-input", "test/bicycle_s_000513.png", "models/model.tar.gz"
MEGABYTE = 1_000_000

pytestmark = pytest.mark.skipif(HOST is None, reason="no Lambda runtime is like this machine")

Start = Callable[..., LambdaProcess]


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def archive_of(model: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in (MODEL_GRAPH, MODEL_CARD):
            archive.add(model / name, name)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Package]:
    """Endpoint packages by function, and the two with a bundled model as ``NAME+onnx``."""
    assert HOST is not None
    folder = tmp_path_factory.mktemp("packages")
    request = PackageRequest(folder=folder / "endpoint", target=HOST)
    found = {package.name: package for package in build(plan(request))}
    functions = ("classify_image_data", "classify_batch")
    inside = replace(request, folder=folder / "onnx", classifier="onnx", model=tiny_model, functions=functions)
    return found | {f"{package.name}+onnx": package for package in build(plan(inside))}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("endpoint")
    deployer = LocalBackend(folder).deployer
    yield deployer.deploy(DeploymentRequest("bikes", tiny_model))
    deployer.remove("bikes")


@pytest.fixture(scope="module")
def aws(moto_url: str) -> Any:
    """S3 with the images that the recorded events name, and the variables that lead to it."""
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto_url,
        "AWS_ENDPOINT_URL_SFN": moto_url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    s3 = boto3.client(
        "s3",
        endpoint_url=moto_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    s3.create_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket="packages-output")
    for key in (KEY, "test/my photo+1.png"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=make_image(255))
    return s3, variables


@pytest.fixture(scope="module")
def start(packages: dict[str, Package], aws: Any, endpoint: Endpoint) -> Iterator[Start]:
    """Start a package's function, once per package and variables."""
    running: dict[tuple[str, tuple[tuple[str, str], ...]], LambdaProcess] = {}
    with ExitStack() as stack:

        def begin(name: str, **more: str) -> LambdaProcess:
            key = (name, tuple(sorted(more.items())))
            if key not in running:
                variables = {
                    **aws[1],
                    "SCONES_CLASSIFIER": "sagemaker:bikes",
                    "SCONES_LABELS": "bicycle,motorcycle",
                    "SCONES_THRESHOLD": "0.9",
                    "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint.url,
                    **more,
                }
                package = packages[name]
                handler = f"{package.name}.lambda_handler"
                running[key] = stack.enter_context(lambda_process(package.folder, handler, variables))
            return running[key]

        yield begin


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("filter_low_confidence", 6 * MEGABYTE),
        ("start_image_classification", 6 * MEGABYTE),
        ("serialize_image_data", 15 * MEGABYTE),
        ("classify_image_data", 15 * MEGABYTE),
        ("classify_batch", 15 * MEGABYTE),
        ("classify_image_data+onnx", 50 * MEGABYTE),
    ],
)
def test_packages_stay_small(packages: dict[str, Package], name: str, limit: int) -> None:
    """Each zip is below its limit, with a model inside too; the folder that CodeUri names holds the same files."""
    package = packages[name]
    assert package.archive.stat().st_size == package.zipped_bytes <= limit
    assert package.unzipped_bytes < 250 * MEGABYTE
    with zipfile.ZipFile(package.archive) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == sorted(names)
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    folder = {path.relative_to(package.folder).as_posix() for path in package.folder.rglob("*") if path.is_file()}
    assert folder == set(names)
    tops = {name.partition("/")[0] for name in names}
    assert not tops & {"boto3", "botocore", "sagemaker", "torch", "tests"}
    assert "numpy" not in tops or name.endswith("+onnx")


def without_versions(event: object) -> Any:
    """The recorded etags and version ids are those of other bytes."""
    text = json.dumps(event)
    for word in ("b1946ac92492d2347c6235b4d2611184", "096fKKXTRTtl3on89fVO.nfljtsv6qko"):
        text = text.replace(word, "")
    return json.loads(text.replace("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", ""))


@pytest.mark.parametrize("classify", ["classify_image_data", "classify_image_data+onnx"])
@pytest.mark.parametrize("name", sorted(set(recorded_events("start_")) - {"start_s3_test"}))
def test_every_start_event_goes_through_the_three_functions(start: Start, name: str, classify: str) -> None:
    """Each recorded shape leads through the three packages to a verdict, by the endpoint and by the model inside."""
    event = without_versions(recorded_event(name))
    inside = {"SCONES_CLASSIFIER": "onnx:model"} if classify.endswith("+onnx") else {}
    serialized = start("serialize_image_data").invoke(event)
    classified = start(classify, **inside).invoke(serialized)
    filtered = start("filter_low_confidence", SCONES_METRICS="1").invoke(classified)
    assert isinstance(filtered, Mapping)
    (ref,) = image_refs(event)
    assert (filtered["s3_bucket"], filtered["s3_key"]) == (ref.s3_bucket, ref.s3_key)
    assert (filtered["label"], filtered["accepted"], filtered["threshold"]) == ("motorcycle", True, 0.9)


@pytest.mark.parametrize("name", recorded_events("serialized_") + recorded_events("classified_"))
def test_course_shapes_are_read(start: Start, name: str) -> None:
    """What the course's functions hand on is read by ours, as it arrives."""
    event = recorded_event(name)
    if name.startswith("classified"):
        filtered = start("filter_low_confidence").invoke(event)
        assert isinstance(filtered, Mapping)
        assert filtered["confidence"] == 0.9678
    else:
        with pytest.raises(ExecutionFailedError) as caught:
            start("classify_image_data").invoke(event)
        assert caught.value.error == "InferenceError"  # its eight bytes are no image, and the endpoint says so


@pytest.mark.parametrize("red", [0, 40, 128, 200, 255])
def test_a_model_inside_says_what_the_endpoint_says(start: Start, aws: Any, tiny_model: Path, red: int) -> None:
    """Endpoint, bundled model and model in S3 give equal probabilities within 1e-6, which are the model's own."""
    s3, _ = aws
    s3.put_object(Bucket=BUCKET, Key=MODEL_KEY, Body=archive_of(tiny_model))
    s3.put_object(Bucket=BUCKET, Key=f"test/red-{red}.png", Body=make_image(red))
    serialized = start("serialize_image_data").invoke({"s3_bucket": BUCKET, "s3_key": f"test/red-{red}.png"})
    answers = [
        start("classify_image_data").invoke(serialized),
        start("classify_image_data+onnx", SCONES_CLASSIFIER="onnx:model").invoke(serialized),
        start("classify_image_data+onnx", SCONES_CLASSIFIER=f"onnx:s3://{BUCKET}/{MODEL_KEY}").invoke(serialized),
    ]
    expected = load_classifier(tiny_model).predict(make_image(red))
    for answer in answers:
        assert isinstance(answer, Mapping)
        assert answer["inferences"] == pytest.approx(expected, abs=1e-6)


def test_a_missing_model_is_a_configuration_error(start: Start) -> None:
    """A model that is gone is no missing image, which would be dropped: the error says which setting names it."""
    serialized = start("serialize_image_data").invoke({"s3_bucket": BUCKET, "s3_key": KEY})
    with pytest.raises(
        ExecutionFailedError, match=r"ConfigurationError: the model s3://scones-input/no\.tar\.gz"
    ) as caught:
        start("classify_image_data+onnx", SCONES_CLASSIFIER=f"onnx:s3://{BUCKET}/no.tar.gz").invoke(serialized)
    assert caught.value.error == "ConfigurationError"


@pytest.mark.parametrize(
    ("key", "body", "error"),
    [
        ("gone.png", None, "ImageNotFoundError"),
        ("page.png", b"<html>", "InvalidImageError"),
        ("cut.png", make_image(9)[:60], "InvalidImageError"),
    ],
)
def test_errors_leave_the_function_by_name(start: Start, aws: Any, key: str, body: bytes | None, error: str) -> None:
    """What the workflow matches on is what Lambda reports: the class's name."""
    if body is not None:
        aws[0].put_object(Bucket=BUCKET, Key=key, Body=body)
    with pytest.raises(ExecutionFailedError) as caught:
        start("serialize_image_data").invoke({"s3_bucket": BUCKET, "s3_key": key})
    assert caught.value.error == error


@pytest.mark.parametrize("name", ["classify_batch", "classify_batch+onnx"])
def test_a_batch_is_classified_in_one_invocation(start: Start, aws: Any, name: str) -> None:
    """Good images are filtered, a broken and a missing one are lines of their own; decided ones are not done twice."""
    s3, _ = aws
    keys = {"bulk/a.png": make_image(255), "bulk/b.png": make_image(128), "bulk/c.png": b"GIF89a"}
    etags = {key: s3.put_object(Bucket=BUCKET, Key=key, Body=body)["ETag"] for key, body in keys.items()}
    items = [{"s3_key": key, "etag": etag} for key, etag in etags.items()]
    items += [{"s3_key": "bulk/gone.png"}, {"s3_key": "bulk/"}, {"s3_key": "bulk/list.lst"}]
    run = name.replace("+", "-")
    event = {"BatchInput": {"s3_bucket": BUCKET, "output_bucket": "packages-output", "run": run}, "Items": items}
    inside = {"SCONES_CLASSIFIER": "onnx:model"} if name.endswith("+onnx") else {}
    report = start(name, **inside).invoke(event)
    assert isinstance(report, Mapping)
    assert report["counts"] == {"accepted": 1, "review": 1, "quarantined": 1, "dropped": 1}
    body = s3.get_object(Bucket="packages-output", Key=report["result_key"])["Body"].read().decode()
    lines = [json.loads(line) for line in body.splitlines()]
    assert [(line["s3_key"], line["outcome"]) for line in lines] == [
        ("bulk/a.png", "accepted"),
        ("bulk/b.png", "review"),
        ("bulk/c.png", "quarantined"),
        ("bulk/gone.png", "dropped"),
    ]
    assert start(name, **inside).invoke(event) == report  # what is gone may be there again
    decided = {**event, "Items": items[:3]}
    first, again = (start(name, **inside).invoke(decided) for _ in range(2))
    assert again == {**first, "counts": {"finished_before": 3}}


def test_the_starter_answers_sqs(start: Start, moto_url: str) -> None:
    """As a Lambda too, the starter names the one broken message of a batch."""
    client = boto3.client(
        "stepfunctions",
        endpoint_url=moto_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    role = "arn:aws:iam::123456789012:role/machine"
    arn = client.create_state_machine(name="packaged", definition=definition, roleArn=role)["stateMachineArn"]
    event = recorded_event("batch_sqs_mixed")
    answer = start("start_image_classification", SCONES_STATE_MACHINE=arn).invoke(event)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "00000000-0000-4000-8000-000000000002"}]}
    assert len(client.list_executions(stateMachineArn=arn)["executions"]) == 2


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path, packages: dict[str, Package]) -> None:
    """Built anew elsewhere, a zip is equal byte for byte, its bytecode included."""
    assert HOST is not None
    request = PackageRequest(folder=tmp_path, target=HOST, functions=("filter_low_confidence", "serialize_image_data"))
    for package in build(plan(request)):
        assert package.compiled
        assert package.archive.read_bytes() == packages[package.name].archive.read_bytes()


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Where something else lies, nothing is removed."""
    assert HOST is not None
    mine = tmp_path / "filter_low_confidence" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    request = PackageRequest(folder=tmp_path, target=HOST, functions=("filter_low_confidence",))
    with pytest.raises(ConfigurationError, match="is not a package of filter_low_confidence"):
        build(plan(request))
    assert mine.read_text() == "years of work"
