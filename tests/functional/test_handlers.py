"""The real handlers, configured by environment only: directory store and model here, S3 and an endpoint there."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from PIL import Image

from scones_ml import backends, steps
from scones_ml.errors import ConfigurationError, EventError, ImageNotFoundError, InvalidImageError
from scones_ml.events import ImageRef
from scones_ml.infrastructure import template
from scones_ml.infrastructure.alarms import CUSTOM_METRICS
from scones_ml.local.backend import LocalBackend
from scones_ml.local.handlers import LambdaContext, load_handler
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.ports import DeploymentRequest
from scones_ml.testing import recorded_event, recorded_events

BUCKET, KEY = "scones-input", "test/bicycle_s_000513.png"


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def call(name: str, event: object) -> dict[str, object]:
    result = load_handler(name)(event, LambdaContext(name))
    assert isinstance(result, dict)
    return result


@pytest.fixture
def here(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryObjectStore:
    """Handlers that read a directory and load the model into this process."""
    monkeypatch.setenv("SCONES_OBJECT_STORE", f"directory:{tmp_path}")
    monkeypatch.setenv("SCONES_CLASSIFIER", f"onnx:{tiny_model}")
    monkeypatch.setenv("SCONES_THRESHOLD", "0.9")
    return DirectoryObjectStore(tmp_path)


@pytest.mark.parametrize("name", sorted(set(recorded_events("start_")) - {"start_s3_test"}))
def test_start_events_reach_the_filter(here: DirectoryObjectStore, name: str) -> None:
    """From every start event, the three handlers lead to a verdict on the object that it names."""
    about = ImageRef(s3_bucket=BUCKET, s3_key=KEY, etag=here.write(BUCKET, KEY, make_image(255), "image/png"))
    event = recorded_event(name, about)
    result = call("filter_low_confidence", call("classify_image_data", call("serialize_image_data", event)))
    assert (result["label"], result["accepted"], result["threshold"]) == ("motorcycle", True, 0.9)
    assert result["s3_bucket"] == BUCKET


def test_the_same_files_run_on_s3_and_an_endpoint(
    moto_url: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With S3's and SageMaker's addresses in the environment, the same handlers classify an object in S3."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto_url,
    }.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="my photo+1.png", Body=make_image(0))
    deployer = LocalBackend(tmp_path).deployer
    endpoint = deployer.deploy(DeploymentRequest("handlers", tiny_model))
    backends._object_store.cache_clear()  # the store's client keeps the address it was made with
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", endpoint.url)
        monkeypatch.setenv("SCONES_CLASSIFIER", "sagemaker:handlers")
        monkeypatch.setenv("SCONES_LABELS", "bicycle,motorcycle")
        serialized = call("serialize_image_data", {"s3_bucket": "photos", "s3_key": "my photo+1.png"})
        classified = call("classify_image_data", serialized)
    finally:
        deployer.remove("handlers")
        backends._object_store.cache_clear()
    assert classified["label"] == "bicycle"
    assert "image_data" not in classified
    (capture,) = Path(endpoint.captures).rglob("*.jsonl")
    assert str(serialized["image_id"]) in capture.read_text()


def test_errors_leave_the_handlers_by_name(here: DirectoryObjectStore) -> None:
    """A missing, a broken and an unnamed image raise the classes that the workflow matches on."""
    here.write(BUCKET, "page.png", b"<html>", "image/png")
    with pytest.raises(ImageNotFoundError):
        call("serialize_image_data", {"s3_bucket": BUCKET, "s3_key": "gone.png"})
    with pytest.raises(InvalidImageError, match="not an image"):
        call("serialize_image_data", {"s3_bucket": BUCKET, "s3_key": "page.png"})
    with pytest.raises(EventError):
        call("serialize_image_data", {"Records": []})


def test_settings_are_read_at_each_call(here: DirectoryObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed threshold holds from the next call on; an unset one is an error, not a guess."""
    event = {"s3_bucket": BUCKET, "s3_key": KEY, "inferences": [0.2, 0.8]}
    assert call("filter_low_confidence", event)["accepted"] is False
    monkeypatch.setenv("SCONES_THRESHOLD", "0.8")
    assert call("filter_low_confidence", event)["accepted"] is True
    monkeypatch.delenv("SCONES_THRESHOLD")
    with pytest.raises(ConfigurationError, match="SCONES_THRESHOLD is not set"):
        call("filter_low_confidence", event)


def filtered_with(inferences: list[float], **variables: str) -> list[str]:
    """What FilterLowConfidence prints for one image, in a process of its own; last, whether it loaded X-Ray's SDK."""
    code = (
        "import sys; from scones_ml.local.handlers import LambdaContext, load_handler; "
        f"load_handler('filter_low_confidence')({{'s3_bucket': 'b', 's3_key': 'k', 'inferences': {inferences}}}, "
        "LambdaContext('filter')); "
        "print('aws_xray_sdk' in sys.modules)"
    )
    environment = {**os.environ, "SCONES_THRESHOLD": "0.7", "POWERTOOLS_TRACE_DISABLED": "1", **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


def test_traces_and_metrics_only_when_switched_on() -> None:
    """A handler loads the X-Ray SDK and writes metrics only when the settings say so."""
    switched_off = filtered_with([0.2, 0.8])
    assert switched_off[-1] == "False"
    assert not any("CloudWatchMetrics" in line for line in switched_off)
    switched_on = filtered_with([0.2, 0.8], SCONES_TRACING="1", SCONES_METRICS="1")
    assert switched_on[-1] == "True"
    assert sum("CloudWatchMetrics" in line for line in switched_on) == 1


@pytest.mark.parametrize(("inferences", "review", "confidence"), [([0.2, 0.8], 0, 0.8), ([0.55, 0.45], 1, 0.55)])
def test_the_review_alarm_watches_what_the_handler_writes(
    inferences: list[float], review: int, confidence: float
) -> None:
    """Each image leaves one line in the embedded metric format: the very metric of the template's alarm."""
    (line,) = (
        line
        for line in filtered_with(inferences, SCONES_METRICS="1", POWERTOOLS_SERVICE_NAME="my-stack")
        if "CloudWatchMetrics" in line
    )
    document = json.loads(line)
    (written,) = document["_aws"]["CloudWatchMetrics"]
    assert (document["Review"], document["Confidence"]) == ([review], [confidence])
    assert document["service"] == "my-stack"
    assert sorted(metric["Name"] for metric in written["Metrics"]) == ["Confidence", "Review"]
    assert len(written["Metrics"]) == CUSTOM_METRICS

    resources = json.loads(json.dumps(template()["Resources"]))
    watched = [query["MetricStat"] for query in resources["ReviewRateAlarm"]["Properties"]["Metrics"][:2]]
    assert sorted(query["Stat"] for query in watched) == ["SampleCount", "Sum"]
    for query in watched:
        metric = query["Metric"]
        assert metric["Namespace"] == written["Namespace"]
        assert metric["MetricName"] == "Review"
        assert [[dimension["Name"] for dimension in metric["Dimensions"]]] == written["Dimensions"]
    variables = resources["FilterLowConfidenceFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["SCONES_METRICS"] == "1"
    assert variables["POWERTOOLS_SERVICE_NAME"] == watched[0]["Metric"]["Dimensions"][0]["Value"]


def test_one_name_runs_through_the_system() -> None:
    """Each handler has the name of its step and stays within 25 lines; each Task has the name of its function."""
    from scones_ml import workflows

    folder = Path(__file__).parents[2] / "handlers"
    text = "".join(build().to_text() for build in workflows.WORKFLOWS.values())
    for path in folder.glob("*.py"):
        assert hasattr(steps, path.stem), path.stem
        assert len(path.read_text().splitlines()) <= 25, path.name
        title = "".join(word.title() for word in path.stem.split("_"))
        if not path.stem.startswith("start_"):  # what starts a workflow is no state of one
            assert f'"{title}": {{' in text
            assert f'"FunctionName": "${{{title}FunctionArn}}"' in text
