"""The real handlers, configured by environment only: directory store and model here, S3 and an endpoint there."""

from __future__ import annotations

import io
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
from scones_ml.local.backend import LocalBackend
from scones_ml.local.handlers import LambdaContext, load_handler
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.ports import DeploymentRequest
from scones_ml.testing import recorded_event, recorded_events

BUCKET, KEY = "scones-input", "test/bicycle_s_000513.png"


def picture(red: int) -> bytes:
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
    about = ImageRef(s3_bucket=BUCKET, s3_key=KEY, etag=here.write(BUCKET, KEY, picture(255), "image/png"))
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
    s3.put_object(Bucket="photos", Key="my photo+1.png", Body=picture(0))
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
    with pytest.raises(InvalidImageError, match="not a picture"):
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


def test_traces_and_metrics_only_when_switched_on(tmp_path: Path) -> None:
    """A handler loads the X-Ray SDK and writes a metric only when the settings say so."""
    code = (
        "import sys; from scones_ml.local.handlers import LambdaContext, load_handler; "
        "load_handler('filter_low_confidence')({'s3_bucket': 'b', 's3_key': 'k', 'inferences': [0.2, 0.8]}, "
        "LambdaContext('filter')); "
        "print('aws_xray_sdk' in sys.modules)"
    )

    def output(**variables: str) -> str:
        environment = {**os.environ, "SCONES_THRESHOLD": "0.5", "POWERTOOLS_TRACE_DISABLED": "1", **variables}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    switched_off, switched_on = output(), output(SCONES_TRACING="1", SCONES_METRICS="1")
    assert switched_off.splitlines()[-1] == "False"
    assert "ColdStart" not in switched_off
    assert switched_on.splitlines()[-1] == "True"
    assert '"ColdStart":[1.0]' in switched_on


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
