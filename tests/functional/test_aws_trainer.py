"""Training on SageMaker: moto's server plays S3, SageMaker and logs, a scripted client what it cannot."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from PIL import Image

from scones_ml import dataset
from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.model_trainer import to_model_trainer
from scones_ml.aws.trainer import SageMakerTrainer
from scones_ml.aws.training_jobs import LOG_GROUP, TrainingJobs
from scones_ml.errors import ConfigurationError, MissingExtraError, TrainingError, TransientServiceError
from scones_ml.plans import Ledger, Run
from scones_ml.ports import ObjectStore
from scones_ml.sagemaker.channels import image_channels, training_channel
from scones_ml.sagemaker.hyperparameters import ImageClassification, ScriptMode
from scones_ml.sagemaker.training_job import Compute, TrainingJob
from scones_ml.sagemaker.training_source import pack
from scones_ml.sagemaker.tuning import Integer, Tuning
from scones_ml.testing import MemoryObjectStore

ROLE = "arn:aws:iam::123456789012:role/scones-training"
BUCKET = "scones-training"
LOG = [
    "Training: epochs=2 images=16 classes=2 threads=1 seed=0 device=cuda",
    "Epoch[0] Train-accuracy=0.500000",
    "Epoch[0] Validation-accuracy=0.625000",
    "Epoch[0] Time cost=0.100",
    "Epoch[1] Train-accuracy=0.750000",
    "Epoch[1] Validation-accuracy=0.875000",
    "Epoch[1] Time cost=0.100",
]


def client(service: str, url: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


def built_in(name: str) -> TrainingJob:
    return TrainingJob(
        name=name,
        role_arn=ROLE,
        region="us-east-1",
        output=f"s3://{BUCKET}/models",
        hyperparameters=ImageClassification(num_classes=2, num_training_samples=800, epochs=2),
        channels=image_channels(f"s3://{BUCKET}/data"),
    )


def no_pause(seconds: float) -> None:
    pass


class Script:
    """A SageMaker client whose job goes through the given answers; the last one stays."""

    def __init__(self, *answers: Mapping[str, object] | BaseException) -> None:
        self.answers = list(answers)
        self.stopped: list[str] = []

    def describe_training_job(self, *, TrainingJobName: str) -> Mapping[str, Any]:  # noqa: N803
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, BaseException):
            raise found
        return found

    def create_training_job(self, **request: Any) -> Mapping[str, Any]:
        return self.describe_training_job(TrainingJobName=request["TrainingJobName"])

    create_hyper_parameter_tuning_job = create_training_job

    def stop_training_job(self, *, TrainingJobName: str) -> object:  # noqa: N803
        self.stopped.append(TrainingJobName)
        return {}


class Lines:
    """A CloudWatch Logs client: with each look a line more, in pages of two, spread over two streams."""

    def __init__(self, lines: list[str], per_look: int = 1) -> None:
        self._lines, self._per_look, self._shown = lines, per_look, 0

    def describe_log_streams(self, **request: Any) -> Mapping[str, Any]:
        prefix = request["logStreamNamePrefix"]
        if "nextToken" not in request:
            self._shown += self._per_look
            return {"logStreams": [{"logStreamName": f"{prefix}algo-1"}], "nextToken": "more"}
        return {"logStreams": [{"logStreamName": f"{prefix}algo-2"}]}

    def get_log_events(self, **request: Any) -> Mapping[str, Any]:
        lines = self._lines[: self._shown] if request["logStreamName"].endswith("algo-1") else []
        start = int(request.get("nextToken", 0))
        page = lines[start : start + 2]
        return {"events": [{"message": line} for line in page], "nextForwardToken": str(start + len(page))}


RUNNING = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}
COMPLETED = {
    "TrainingJobStatus": "Completed",
    "BillableTimeInSeconds": 443,
    "ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/models/job/output/model.tar.gz"},
}


def test_a_job_is_created_and_read_back(moto_url: str) -> None:
    """SageMaker's API takes the built-in algorithm's request, and describes the job as it was asked for."""
    sagemaker = client("sagemaker", moto_url)
    jobs = TrainingJobs(sagemaker, client("logs", moto_url), no_pause)
    assert jobs.start(built_in("course-1")).endswith(":training-job/course-1")
    found = sagemaker.describe_training_job(TrainingJobName="course-1")
    assert found["HyperParameters"] == {"num_classes": "2", "num_training_samples": "800", "epochs": "2"}
    assert found["ResourceConfig"]["InstanceType"] == "ml.g4dn.xlarge"
    assert [channel["ChannelName"] for channel in found["InputDataConfig"]] == [
        "train",
        "validation",
        "train_lst",
        "validation_lst",
    ]


def test_a_tuning_job_is_created(moto_url: str) -> None:
    """SageMaker's API takes a tuning request and describes its ranges."""
    sagemaker = client("sagemaker", moto_url)
    jobs = TrainingJobs(sagemaker, client("logs", moto_url), no_pause)
    jobs.start_tuning(Tuning(built_in("tune-1"), (Integer("mini_batch_size", 8, 64),), max_jobs=4))
    found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune-1")
    ranges = found["HyperParameterTuningJobConfig"]["ParameterRanges"]["IntegerParameterRanges"]
    assert [(row["Name"], row["MinValue"], row["MaxValue"]) for row in ranges] == [("mini_batch_size", "8", "64")]


def test_a_finished_job_is_followed_by_its_logs(moto_url: str) -> None:
    """Lines in CloudWatch Logs become progress and metrics, epoch by epoch."""
    logs = client("logs", moto_url)
    logs.create_log_group(logGroupName=LOG_GROUP)
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName="course-2/algo-1-1")
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName="course-22/algo-1-1")
    now = int(time.time() * 1_000)
    for job, lines in {"course-2": LOG, "course-22": ["Epoch[9] Train-accuracy=1.0"]}.items():
        events = [{"timestamp": now + number, "message": line} for number, line in enumerate(lines)]
        logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=f"{job}/algo-1-1", logEvents=events)
    jobs = TrainingJobs(client("sagemaker", moto_url), logs, no_pause)
    jobs.start(built_in("course-2"))
    seen: list[tuple[int, int]] = []
    said: list[str] = []
    done = jobs.follow("course-2", lambda epochs, total: seen.append((epochs, total)), said.append)
    assert said[1:] == LOG
    assert seen == [(1, 2), (2, 2)]
    assert done.metrics == {"train:accuracy": (0.5, 0.75), "validation:accuracy": (0.625, 0.875)}
    assert done.model_uri == f"s3://{BUCKET}/models/course-2/output/model.tar.gz"
    logs.delete_log_group(logGroupName=LOG_GROUP)


def test_a_running_job_is_followed_live() -> None:
    """Lines are passed on as they come, each once, over pages and streams; the last ones after the job's end too."""
    pauses: list[float] = []
    jobs = TrainingJobs(Script(*[RUNNING] * 5, COMPLETED), Lines(LOG), pauses.append)
    said: list[str] = []
    done = jobs.follow("job", steps=said.append)
    assert said[1:] == LOG
    assert done.billable_seconds == 443
    assert len(pauses) == 6


def test_progress_counts_images_while_features_are_computed() -> None:
    """A job of the recipe head moves the bar by images, and its one epoch does not put it back."""
    log = [
        "Training: images=64 classes=2 threads=4",
        "Features[32] of 64",
        "Features[64] of 64",
        "Epoch[0] Time cost=9.1",
    ]
    seen: list[tuple[int, int]] = []
    jobs = TrainingJobs(Script(RUNNING, COMPLETED), Lines(log), no_pause)
    jobs.follow("job", lambda done, total: seen.append((done, total)))
    assert seen == [(32, 64), (64, 64)]


def test_a_failed_job_says_why() -> None:
    """A job that failed inside the container ends in one line: the reason and its last log lines."""
    failed = {"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError:\nExecuteUserScriptError"}
    lines = ["starting", "error: no training images of tram in /opt/ml/input/data/training"]
    jobs = TrainingJobs(Script(failed), Lines(lines, per_look=9), no_pause)
    with pytest.raises(TrainingError) as caught:
        jobs.follow("job")
    assert str(caught.value) == (
        "training job job failed: AlgorithmError: ExecuteUserScriptError; "
        "its last lines: starting | error: no training images of tram in /opt/ml/input/data/training"
    )


def test_a_stopped_job_says_so() -> None:
    """A job that ran out of time names that as the reason, and what to do."""
    stopped = {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}
    with pytest.raises(TrainingError, match=r"job stopped: MaxRuntimeExceeded: allow more time with --max-hours$"):
        TrainingJobs(Script(stopped), Lines([]), no_pause).follow("job")


def test_a_job_is_followed_without_its_log() -> None:
    """Where the log may not be read, that is said once, and the job is followed to its end."""

    class Closed(Lines):
        def describe_log_streams(self, **request: Any) -> Mapping[str, Any]:
            response: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not logs:DescribeLogStreams"}}
            raise ClientError(response, "DescribeLogStreams")

    said: list[str] = []
    TrainingJobs(Script(*[RUNNING] * 3, COMPLETED), Closed([]), no_pause).follow("job", steps=said.append)
    (_, line) = said
    assert line.startswith("logs of training job job: AccessDeniedException: not logs:DescribeLogStreams")


def test_a_moment_out_of_reach_is_waited_out() -> None:
    """A job is followed over a broken connection; one that stays broken ends the following, not the job."""
    broken = EndpointConnectionError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com/")
    pauses: list[float] = []
    jobs = TrainingJobs(Script(RUNNING, broken, broken, RUNNING, broken, COMPLETED), Lines([]), pauses.append)
    assert jobs.follow("job").billable_seconds == 443
    assert len(pauses) == 6
    with pytest.raises(TransientServiceError, match="training job job: Could not connect"):
        TrainingJobs(Script(broken), Lines([]), no_pause).follow("job")


def test_ctrl_c_lets_go_of_the_job() -> None:
    """Ctrl-C leaves the job running and says how to come back and how to stop it."""
    script = Script(RUNNING, KeyboardInterrupt())
    jobs = TrainingJobs(script, Lines([]), no_pause)
    with pytest.raises(TrainingError, match=r"job continues: .*--attach job`.*stop-training-job") as caught:
        jobs.follow("job")
    assert "\n" not in str(caught.value)
    assert script.stopped == []
    jobs.stop("job")
    assert script.stopped == ["job"]


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("ResourceLimitExceeded", ConfigurationError, "quota of 0.*Service Quotas, or choose another instance type"),
        ("ResourceInUse", ConfigurationError, "training job course-3: ResourceInUse: .*choose another name"),
        ("AccessDeniedException", ConfigurationError, "allow the named action"),
        ("ThrottlingException", TransientServiceError, "training job course-3: ThrottlingException"),
    ],
)
def test_what_aws_refuses(code: str, error: type[Exception], message: str) -> None:
    """No quota, a taken name and a missing permission are one line with a remedy; throttling is transient."""
    response: Any = {"Error": {"Code": code, "Message": "a quota of 0"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    jobs = TrainingJobs(Script(ClientError(response, "CreateTrainingJob")), Lines([]), no_pause)
    with pytest.raises(error, match=message):
        jobs.start(built_in("course-3"))


def test_a_wrong_request_is_never_sent() -> None:
    """What the service model does not allow is refused before a call is made."""
    script = Script(AssertionError("a call was made"))
    wrong = replace(built_in("course-4"), compute=Compute("ml.g4dn.huge"))
    with pytest.raises(ConfigurationError, match=r"ResourceConfig\.InstanceType is 'ml\.g4dn\.huge', not one of"):
        TrainingJobs(script, Lines([]), no_pause).start(wrong)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staged data set of two classes, 20 images each: one dark, one bright."""
    root, noise = tmp_path_factory.mktemp("source"), np.random.default_rng(0)
    for label, name in enumerate(("bicycle", "motorcycle")):
        (root / name).mkdir()
        for number in range(20):
            pixels = noise.integers(100 * label, 100 * label + 100, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return dataset.stage(root, tmp_path_factory.mktemp("data") / "staged", image_size=16).dataset.root


def archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def attach(store: ObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch the model of a job that has ended well."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    jobs = TrainingJobs(Script(COMPLETED), Lines([]), no_pause)
    environment = AwsEnvironment({"SCONES_BUCKET": BUCKET, "SCONES_ROLE": ROLE})
    trainer = SageMakerTrainer(environment, store, jobs, Ledger(folder / "ledger.jsonl"), Run("run"))
    trainer.attach("job", folder / "model")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"no archive", "is not a complete tar archive"),
        (archive({}), "holds no model"),
        (archive({"code/inference.py": b"x"}), "holds no model"),
        (
            archive({"image-classification-0005.params": b"x"}),
            r"no model\.json; for a model of the built-in algorithm",
        ),
        (archive({"../evil": b"x", "..": b"x"}), "holds no model"),
    ],
    ids=["no archive", "an empty one", "folders", "the built-in algorithm", "paths outside"],
)
def test_models_that_cannot_be_unpacked(
    stored: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something else than an archive, or one without files of its own, is one line, and nothing is written."""
    store = MemoryObjectStore({(BUCKET, "models/job/output/model.tar.gz"): stored})
    with pytest.raises(TrainingError, match=message):
        attach(store, tmp_path, monkeypatch)
    assert not (tmp_path / "model").exists()


def test_a_model_with_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in a model's archive is never written."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        link = tarfile.TarInfo("model.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    store = MemoryObjectStore({(BUCKET, "models/job/output/model.tar.gz"): buffer.getvalue()})
    with pytest.raises(TrainingError, match=r"'model\.json', which is not a regular file"):
        attach(store, tmp_path, monkeypatch)
    assert not (tmp_path / "model").exists()


def test_the_source_archive_is_the_same_each_time() -> None:
    """The same sources give the same bytes, whenever they are packed, in order, with versions pinned."""
    assert pack() == pack()
    with tarfile.open(fileobj=io.BytesIO(pack())) as file:
        members = file.getmembers()
        assert {(member.mtime, member.uid, member.mode, member.isreg()) for member in members} == {(0, 0, 0o644, True)}
        names = [member.name for member in members]
        requirements = file.extractfile("requirements.txt")
        assert requirements is not None
        pinned = [line.partition("==")[0] for line in requirements.read().decode().split()]
    assert names == sorted(names)
    assert {"train.py", "requirements.txt", "scones_ml/training/__main__.py"} <= set(names)
    assert pinned == ["numpy", "onnx", "onnxruntime", "pillow", "pydantic"]


def test_the_source_archive_stands_alone(tmp_path: Path) -> None:
    """Unpacked into a folder, its train.py runs with the archive's own library, not with one that is installed."""
    with tarfile.open(fileobj=io.BytesIO(pack())) as file:
        file.extractall(tmp_path, filter="data")
    (tmp_path / "where.py").write_text("import scones_ml, sys; sys.stdout.write(scones_ml.__file__)")
    command = [sys.executable, "where.py"]  # a script's own folder comes first, as train.py's does
    found = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    assert found.stdout == str(tmp_path / "scones_ml" / "__init__.py")


def test_script_jobs_are_created(moto_url: str) -> None:
    """SageMaker's API takes the request of our own training, with its metrics and source."""
    sagemaker = client("sagemaker", moto_url)
    job = TrainingJob(
        name="script-1",
        role_arn=ROLE,
        region="us-east-1",
        output=f"s3://{BUCKET}/models",
        hyperparameters=ScriptMode(source=f"s3://{BUCKET}/source/abc.tar.gz"),
        channels=(training_channel(f"s3://{BUCKET}/data"),),
    )
    TrainingJobs(sagemaker, client("logs", moto_url), no_pause).start(job)
    found = sagemaker.describe_training_job(TrainingJobName="script-1")
    assert json.loads(found["HyperParameters"]["sagemaker_program"]) == "train.py"


def test_the_sdk_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SageMaker SDK its ModelTrainer is one line that says what to install."""
    monkeypatch.setitem(sys.modules, "sagemaker", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'scones-ml\[sagemaker\]'"):
        to_model_trainer(built_in("course-5"))
