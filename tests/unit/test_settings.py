"""The settings' reader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scones_ml import settings
from scones_ml.errors import ConfigurationError
from scones_ml.settings import AwsNames, ImagePolicy, Target

ROOT = Path(__file__).parents[2]


def test_unset_settings_have_stated_defaults() -> None:
    """With nothing set the store is S3, images are read by policy 1, and nothing is traced."""
    assert settings.object_store({}) == Target("s3")
    assert settings.image_policy({}) == ImagePolicy().of_model(224, None)
    assert settings.readers({}) == 8
    assert not settings.tracing_enabled({})
    assert not settings.metrics_enabled({})


def test_settings_are_read_as_documented() -> None:
    """Every variable reaches its field."""
    environ = {
        "SCONES_CLASSIFIER": "onnx:/opt/model",
        "SCONES_OBJECT_STORE": "directory:/data",
        "SCONES_LABELS": "bicycle, motorcycle",
        "SCONES_THRESHOLD": "0.93",
        "SCONES_STATE_MACHINE": "arn:aws:states:us-east-1:111122223333:stateMachine:images",
        "SCONES_IMAGE_SIZE": "32",
        "SCONES_IMAGE_FIT": "pad",
        "SCONES_MAX_IMAGE_BYTES": "1000",
        "SCONES_MAX_IMAGE_PIXELS": "2000",
        "SCONES_READERS": "2",
        "SCONES_TRACING": "1",
        "SCONES_METRICS": "1",
    }
    assert settings.classifier(environ) == Target("onnx", "/opt/model")
    assert settings.object_store(environ) == Target("directory", "/data")
    assert settings.labels(environ) == ("bicycle", "motorcycle")
    assert settings.threshold(environ) == 0.93
    assert settings.state_machine(environ).endswith(":stateMachine:images")
    assert settings.image_policy(environ) == ImagePolicy(1000, 2000, 32, "pad")
    assert settings.readers(environ) == 2
    assert settings.object_store({"SCONES_OBJECT_STORE": "workspace:/data"}) == Target("workspace", "/data")
    assert settings.tracing_enabled(environ)
    assert settings.metrics_enabled(environ)


def test_places_on_aws_are_read_as_documented() -> None:
    """Every variable reaches its field; a bucket may be given by its name or as a URI; unset is None."""
    role = "arn:aws:iam::111122223333:role/sagemaker"
    machine = "arn:aws:states:us-east-1:111122223333:stateMachine:images"
    environ = {
        "SCONES_STACK": "vehicles",
        "SCONES_BUCKET": "lake",
        "SCONES_ROLE": role,
        "SCONES_STATE_MACHINE": machine,
        "SCONES_BATCH_STATE_MACHINE": machine,
        "SCONES_INPUT_BUCKET": "pictures",
        "SCONES_OUTPUT_BUCKET": "outcomes",
    }
    assert settings.aws_names(environ) == AwsNames(
        "s3://lake", role, machine, machine, "pictures", "outcomes", "vehicles"
    )
    assert settings.aws_names({"SCONES_BUCKET": "s3://lake/a/b/"}).bucket == "s3://lake/a/b"
    assert settings.aws_names({"SCONES_ROLE": ""}) == AwsNames()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SCONES_BUCKET", "/data"),
        ("SCONES_BUCKET", "s3://"),
        ("SCONES_INPUT_BUCKET", "s3://images"),
        ("SCONES_OUTPUT_BUCKET", "Outcomes"),
        ("SCONES_ROLE", "sagemaker"),
        ("SCONES_STATE_MACHINE", "images"),
    ],
)
def test_places_that_cannot_be_are_refused(variable: str, text: str) -> None:
    """What is no bucket or no ARN is a ConfigurationError that names the variable and the form."""
    with pytest.raises(ConfigurationError, match=f"^{variable} is '{text}': give "):
        settings.aws_names({variable: text})


@pytest.mark.parametrize("text", ["", "0", "-1", "1.01", "nan", "inf", "high", "93 %"])
def test_a_threshold_is_never_guessed(text: str) -> None:
    """An unset or impossible threshold is a ConfigurationError that names the variable."""
    with pytest.raises(ConfigurationError, match="SCONES_THRESHOLD"):
        settings.threshold({"SCONES_THRESHOLD": text} if text else {})


@pytest.mark.parametrize("value", [0.93, 1.0, 1e-5, None])
def test_a_threshold_survives_its_text(value: float | None) -> None:
    """What threshold_text writes, threshold reads back exactly; a model without one is ``none``."""
    assert settings.threshold({"SCONES_THRESHOLD": settings.threshold_text(value)}) == value


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, unique=True))
@example(["bus, coach", "car"])
@example(["[a", "b]"])
def test_any_class_names_are_read_as_they_were_written(names: list[str]) -> None:
    """Commas, brackets, quotes, blanks: what labels_text writes, labels reads back; plain names stay readable."""
    assert settings.labels({"SCONES_LABELS": settings.labels_text(names)}) == tuple(names)
    assert settings.labels_text(["bicycle", "motorcycle"]) == "bicycle,motorcycle"


@pytest.mark.parametrize(
    ("read", "variable", "text"),
    [
        (settings.classifier, "SCONES_CLASSIFIER", ""),
        (settings.classifier, "SCONES_CLASSIFIER", "sagemaker"),
        (settings.classifier, "SCONES_CLASSIFIER", "sagemaker:"),
        (settings.classifier, "SCONES_CLASSIFIER", "torch:model"),
        (settings.object_store, "SCONES_OBJECT_STORE", "directory"),
        (settings.object_store, "SCONES_OBJECT_STORE", "s3:bucket"),
        (settings.labels, "SCONES_LABELS", ""),
        (settings.labels, "SCONES_LABELS", "bicycle"),
        (settings.labels, "SCONES_LABELS", "[bicycle, motorcycle]"),
        (settings.labels, "SCONES_LABELS", "[1, 2]"),
        (settings.state_machine, "SCONES_STATE_MACHINE", ""),
        (settings.state_machine, "SCONES_STATE_MACHINE", "images"),
        (settings.image_policy, "SCONES_IMAGE_SIZE", "0"),
        (settings.image_policy, "SCONES_IMAGE_SIZE", "big"),
        (settings.image_policy, "SCONES_MAX_IMAGE_BYTES", "1e6"),
        (settings.readers, "SCONES_READERS", "0"),
        (settings.tracing_enabled, "SCONES_TRACING", "yes"),
    ],
)
def test_wrong_settings_name_their_variable(read: object, variable: str, text: str) -> None:
    """Whatever is wrong, the message names the variable."""
    assert callable(read)
    with pytest.raises(ConfigurationError, match=variable):
        read({variable: text})


def test_the_documented_variables_are_the_ones_that_are_read() -> None:
    """The table in the module's docstring and the code name the same variables."""
    source = (ROOT / "scones_ml" / "settings.py").read_text(encoding="utf-8")
    documented = set(re.findall(r"^(SCONES_\w+)", settings.__doc__ or "", re.MULTILINE))
    assert documented == set(re.findall(r'"(SCONES_\w+)"', source))


def test_no_other_module_reads_a_variable_of_ours() -> None:
    """Only settings.py asks the environment for a SCONES_ variable."""
    asks = re.compile(r"""(environ\.get\(|environ\[|getenv\()["']SCONES_""")
    files = [*(ROOT / "scones_ml").rglob("*.py"), *(ROOT / "handlers").glob("*.py")]
    assert {path.name for path in files if asks.search(path.read_text(encoding="utf-8"))} == {"settings.py"}
