"""`scones train --on aws`: moto's server plays S3 and logs; a SageMaker of our own runs jobs as the real one does."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
import pytest
from PIL import Image

from scones_ml import backends, dataset, lifecycle
from scones_ml.aws import training_jobs
from scones_ml.aws.store import S3ObjectStore
from scones_ml.backbones import efficientnet_lite0
from scones_ml.cli import main
from scones_ml.cli.context import Backends
from scones_ml.errors import ConfigurationError, TrainingError
from scones_ml.inference.model import load_classifier, read_card
from scones_ml.plans import Ledger, Run
from scones_ml.ports import Backend, TrainingRequest
from scones_ml.sagemaker.training_source import pack

ROLE = "arn:aws:iam::123456789012:role/scones-training"
BUCKET = "scones-train-on-aws"
REGION = "eu-west-2"
LOG_GROUP = training_jobs.LOG_GROUP


class SageMaker:
    """SageMaker's API for training jobs: a job's source is unpacked and run on what its channels name in S3."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[str, dict[str, Any]] = {}
        self.refusal: tuple[str, str] | None = None
        self.idle = False  # jobs are taken, but do not run
        self.environment: dict[str, str] = {}  # of the container, besides its own

    def create_training_job(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["TrainingJobName"]
        self.jobs[name] = request | {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Starting"}
        if not self.idle:
            threading.Thread(target=self._run, args=(name,), daemon=True).start()
        return {"TrainingJobArn": f"arn:aws:sagemaker:{REGION}:123456789012:training-job/{name}"}

    def describe_training_job(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.jobs[request["TrainingJobName"]]

    def _run(self, name: str) -> None:
        job, base = self.jobs[name], self.folder / name
        s3 = boto3.client("s3")
        for channel in job["InputDataConfig"]:
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            target = base / "input/data" / channel["ChannelName"]
            target.mkdir(parents=True)
            if uri.endswith(".tar.gz"):
                s3.download_file(*uri.removeprefix("s3://").split("/", 1), str(target / "model.tar.gz"))
            else:
                dataset.download(uri, S3ObjectStore(s3), target / "set")
        told = {key: json.loads(value) for key, value in job["HyperParameters"].items()}
        bucket, key = told.pop("sagemaker_submit_directory").removeprefix("s3://").split("/", 1)
        with tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())) as source:
            source.extractall(base / "code", filter="data")
        (base / "output").mkdir()
        command = [sys.executable, told.pop("sagemaker_program")]
        command += [part for key, value in told.items() for part in (f"--{key}", str(value))]
        environment = {
            "PATH": "/usr/bin:/bin",
            "OMP_NUM_THREADS": "1",
            "SAGEMAKER_BASE_DIR": str(base),
            "SM_CHANNEL_TRAINING": str(base / "input/data/training/set"),
            "SM_CHANNEL_MODEL": str(base / "input/data/model") if len(job["InputDataConfig"]) == 2 else "",
            **self.environment,
        }
        done = subprocess.run(
            command,
            cwd=base / "code",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self._log(name, done.stdout.splitlines())
        if done.returncode:
            failure = base / "output/failure"
            reason = failure.read_text() if failure.exists() else done.stdout
            end = {"TrainingJobStatus": "Failed", "FailureReason": reason}
        else:
            bucket, prefix = job["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://").split("/", 1)
            key = f"{prefix}/{name}/output/model.tar.gz"
            with tarfile.open(base / "model.tar.gz", "w:gz") as archive:
                for file in (base / "model").iterdir():
                    archive.add(file, file.name)
            s3.upload_file(str(base / "model.tar.gz"), bucket, key)
            end = {
                "TrainingJobStatus": "Completed",
                "BillableTimeInSeconds": 1_234,
                "ModelArtifacts": {"S3ModelArtifacts": f"s3://{bucket}/{key}"},
            }
        self.jobs[name] = job | end

    def _log(self, name: str, lines: list[str]) -> None:
        logs = boto3.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]:
            logs.create_log_group(logGroupName=LOG_GROUP)
        stream = {"logGroupName": LOG_GROUP, "logStreamName": f"{name}/algo-1"}
        logs.create_log_stream(**stream)
        now = int(time.time() * 1_000)
        logs.put_log_events(
            **stream,
            logEvents=[{"timestamp": now + number, "message": line} for number, line in enumerate(lines)],
        )


@pytest.fixture
def sagemaker(moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SageMaker]:
    """An account with a bucket, a role and no jobs; nobody waits in it."""
    service = SageMaker(tmp_path / "sagemaker")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            answer: Mapping[str, object]
            if service.refusal:
                status, answer = 400, dict(zip(("__type", "message"), service.refusal, strict=True))
            elif operation == "CreateTrainingJob":
                status, answer = 200, service.create_training_job(request)
            elif request["TrainingJobName"] in service.jobs:
                status, answer = 200, service.describe_training_job(request)
            else:
                status, answer = 400, {"__type": "ValidationException", "message": "Requested resource not found."}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ENDPOINT_URL_SAGEMAKER": f"http://127.0.0.1:{server.server_port}",
        "SCONES_ROLE": ROLE,
        "SCONES_BUCKET": f"{BUCKET}/here",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield service
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for found in page.get("Contents", ()):
            s3.delete_object(Bucket=BUCKET, Key=found["Key"])
    s3.delete_bucket(Bucket=BUCKET)
    server.shutdown()
    server.server_close()


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


def complaint(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1, through: Backends | None = None
) -> str:
    """The one line that a failing command ends with."""
    assert main(arguments, through) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    *_, last = captured.err.splitlines()
    return last


def test_models_are_trained_by_jobs(
    sagemaker: SageMaker, data: Path, hurried: Backends, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data and source go up, the job trains from them, its log is shown, its model arrives; a second job goes on."""
    assert main(["train", str(data), "--on", "aws", "--epochs", "2", "--seed", "3", "--json"], hurried) == 0
    captured = capsys.readouterr()
    (name,) = sagemaker.jobs
    assert json.loads(captured.out)["seed"] == 3
    assert f"following training job {name}; it continues after Ctrl-C" in captured.err
    assert "Epoch[1] Train-accuracy=" in captured.err
    assert f"training job {name} has completed: 1,234 seconds are billed" in captured.err
    assert load_classifier(".scones/model").card.dataset_hash == dataset.load(data).hash
    left = {found.kind for found in Ledger(Path(".scones/ledger.jsonl")).resources()}
    assert left == {"object", "objects"}  # the job has ended: it is no longer on record

    command = ["train", str(data), "--on", "aws", "--epochs", "1", "--init", ".scones/model", "--model", "second"]
    assert main(command, hurried) == 0
    assert read_card("second").base_model == load_classifier(".scones/model").sha256
    capsys.readouterr()
    assert main(["train", "--on", "aws", "--attach", name, "--model", "again"], hurried) == 0
    assert capsys.readouterr().out == "again\n"
    assert load_classifier("again").sha256 == load_classifier(".scones/model").sha256


@pytest.fixture(params=["local", "aws"])
def backend(request: pytest.FixtureRequest, sagemaker: SageMaker, hurried: Backends, tmp_path: Path) -> Backend:
    """Each place that has a trainer."""
    return hurried.backend(request.param, tmp_path / "workspace")


def test_either_trainer_keeps_its_plan(backend: Backend, data: Path, tmp_path: Path) -> None:
    """A plan is the same each time and makes nothing; training leaves the model, told epoch by epoch, on record."""
    request = TrainingRequest(data, tmp_path / "model", epochs=2, threads=1)
    plan = backend.trainer.plan(request)
    assert plan == backend.trainer.plan(request)
    assert (plan.verb, plan.place) == ("train", backend.place_name)
    assert backend.ledger.resources() == ()
    told: list[tuple[int, int]] = []
    backend.trainer.train(request, lambda done, total: told.append((done, total)))
    assert told[-2:] == [(1, 2), (2, 2)]
    assert load_classifier(request.model).card.dataset_hash == dataset.load(data).hash
    assert {entry.name for entry in backend.ledger.entries()} == {change.name for change in plan.changes}


def test_either_trainer_says_a_job_s_last_words(backend: Backend, data: Path, tmp_path: Path) -> None:
    """A training that fails is a TrainingError with the job's own reason, and leaves no model; no job is made up."""
    request = TrainingRequest(data, tmp_path / "model", device="cuda")
    with pytest.raises(TrainingError, match="torch finds no CUDA device here; use --device cpu"):
        backend.trainer.train(request)
    assert not (request.model / "model.onnx").exists()
    with pytest.raises(ConfigurationError, match="no-such-job"):
        backend.trainer.attach("no-such-job", request.model)


def test_a_failure_in_the_container_is_one_line(
    sagemaker: SageMaker, data: Path, hurried: Backends, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job's own reason, and its last log lines."""
    line = complaint(capsys, "train", str(data), "--on", "aws", "--device", "cuda", through=hurried)
    (name,) = sagemaker.jobs
    reason = "--device cuda: torch finds no CUDA device here; use --device cpu"
    lines = f"Recipe: scratch; thumbnails, 16 pixels on the shorter side | error: {reason}"
    assert line == f"scones: training job {name} failed: {reason}; its last lines: {lines}"
    assert not Path(".scones/model").exists()


def test_the_plan_is_what_is_done(sagemaker: SageMaker, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--dry-run` names every object and the job, with permission and request; then the same is sent, and recorded."""
    sagemaker.idle = True
    run = Run("20260102-030405-abcdef")
    backend = backends.backend("aws", Path(".scones"), run)
    request = TrainingRequest(data, Path("model"), instance_type="ml.m5.xlarge", spot=True, max_seconds=7_200)
    plan = lifecycle.plan_train(backend, request)
    name = "scones-20260102-030405-abcdef"
    *objects, job = plan.changes
    root, data_hash = f"s3://{BUCKET}/here", dataset.load(data).hash[:32]
    assert [change.name for change in objects][0::2] == [f"{root}/data/{data_hash}/", f"{root}/models/{name}/"]
    assert [change.permission for change in objects] == ["s3:PutObject", "s3:PutObject", "", ""]
    assert objects[-1].name == f"{root}/checkpoints/{name}/"
    assert (job.kind, job.name, job.permission) == ("training job", name, "sagemaker:CreateTrainingJob")
    assert job.why == "recipe scratch, at most 2 h of ml.m5.xlarge, on cheaper spare capacity"
    assert list(boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())) == []
    assert sagemaker.jobs == {}

    def detach(name: str) -> None:
        if "Ctrl-C" in name:
            raise KeyboardInterrupt

    with pytest.raises(TrainingError, match="continues"):
        lifecycle.train(backend, request, steps=detach)
    sent = sagemaker.jobs[name]
    assert {key: sent[key] for key in job.request} == job.request
    assert {"Key": "scones:run", "Value": run.id} in sent["Tags"]
    assert sent["CheckpointConfig"]["S3Uri"] == objects[-1].name
    assert {found.name for found in backend.ledger.resources()} == {change.name for change in plan.changes}
    key = objects[1].name.removeprefix(f"s3://{BUCKET}/")
    assert boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() == pack()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staged data set of drawings, 12 of each class, large enough for a pretrained backbone."""
    return dataset.stage(dataset.Synthetic(per_class=12), tmp_path_factory.mktemp("photographs") / "data").dataset.root


@pytest.fixture
def without_weights(sagemaker: SageMaker) -> SageMaker:
    """A container without the package of the backbone's weights, and without torch."""
    sagemaker.environment["PYTHONPATH"] = str(sagemaker.folder)
    sagemaker.folder.mkdir(parents=True)
    (sagemaker.folder / "sitecustomize.py").write_text(
        "import importlib.metadata, sys\nsys.modules['torch'] = None\nimportlib.metadata.files = lambda name: 1 / 0\n"
    )
    return sagemaker


def test_photographs_are_learned_without_a_gpu(
    without_weights: SageMaker, photographs: Path, hurried: Backends, capsys: pytest.CaptureFixture[str]
) -> None:
    """The source carries the backbone, and a machine without a GPU makes the model that is made here, file by file."""
    assert main(["train", str(photographs), "--on", "aws", "--model", "theirs"], hurried) == 0
    assert "recipe head: photographs, 128 pixels" in capsys.readouterr().err
    (job,) = without_weights.jobs.values()
    assert job["ResourceConfig"]["InstanceType"] == "ml.m5.xlarge"
    assert "pytorch-training:" in job["AlgorithmSpecification"]["TrainingImage"]
    assert "-cpu-" in job["AlgorithmSpecification"]["TrainingImage"]
    assert main(["train", str(photographs), "--model", "ours"], hurried) == 0
    assert read_card("theirs") == read_card("ours")
    files = {path.name for path in Path("theirs").iterdir()}
    assert {"model.onnx", "answers.npz"} < files
    for name in files - {"model.json"}:
        assert Path("theirs", name).read_bytes() == Path("ours", name).read_bytes()


def test_a_backbone_of_one_s_own_travels_under_its_name(
    without_weights: SageMaker, photographs: Path, hurried: Backends, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--backbone` goes up with the source, and model.json names it with its licence and sha256 as a local training."""
    graph = onnx.load_model_from_string(efficientnet_lite0(128).graph)
    onnx.helper.set_model_props(graph, {"scones.licence": "CC0-1.0"})
    Path("my net.onnx").write_bytes(graph.SerializeToString())
    command = ["train", str(photographs), "--backbone", "my net.onnx", "--fit", "pad"]
    assert main([*command, "--on", "aws", "--model", "theirs"], hurried) == 0
    assert main([*command, "--model", "ours"], hurried) == 0
    theirs, ours = read_card("theirs"), read_card("ours")
    assert (theirs.backbone["name"], theirs.backbone["licence"], theirs.fit) == ("my-net", "CC0-1.0", "pad")
    assert theirs.backbone["sha256"] == ours.backbone["sha256"]
    assert load_classifier("theirs").sha256 == load_classifier("ours").sha256


def test_what_the_job_could_not_do_is_refused_before_it(
    sagemaker: SageMaker, data: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A backbone for other images, images that it does not take, and a model to go on from cost no job."""
    Path("large.onnx").write_bytes(efficientnet_lite0(160).graph)
    head = ("--on", "aws", "--recipe", "head")
    line = complaint(capsys, "train", str(photographs), *head, "--backbone", "large.onnx")
    assert line == "scones: the backbone large.onnx takes images of 160 pixels, not of 128"
    assert "takes images of 64 to 448 pixels, not 16" in complaint(capsys, "train", str(data), *head)
    line = complaint(capsys, "train", str(photographs), *head, "--init", "model")
    assert line.endswith("a network that was trained from scratch: add --recipe scratch")
    assert sagemaker.jobs == {}


def test_a_dry_run_names_recipe_and_machine(
    sagemaker: SageMaker, data: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan says which recipe the images get and the machine that follows from it; a named machine is kept."""
    for folder, options, why in (
        (photographs, (), "recipe head, at most 1 h of ml.m5.xlarge"),
        (data, (), "recipe scratch, at most 1 h of ml.g4dn.xlarge"),
        (photographs, ("--instance-type", "ml.c5.xlarge"), "recipe head, at most 1 h of ml.c5.xlarge"),
    ):
        assert main(["train", str(folder), "--on", "aws", "--dry-run", "--json", *options]) == 0
        assert why in capsys.readouterr().out
    assert sagemaker.jobs == {}


def test_a_dry_run_prints_the_plan(
    sagemaker: SageMaker, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line too: each change a row, the job with its price, and nothing is done."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # whose prices are known
    assert main(["train", str(data), "--on", "aws", "--instance-type", "ml.m5.xlarge", "--dry-run"]) == 0
    captured = capsys.readouterr()
    (row,) = [line for line in captured.out.splitlines() if "training job" in line]
    assert "$0.23" in row
    assert "sagemaker:CreateTrainingJob" in row
    assert "nothing was done" in captured.err
    assert sagemaker.jobs == {}
    assert not Path(".scones").exists()


def test_what_is_there_is_not_sent_again(sagemaker: SageMaker, data: Path) -> None:
    """A second job of the same data and source uploads nothing."""
    sagemaker.idle = True
    said: list[str] = []

    def detach(step: str) -> None:
        said.append(step)
        if "Ctrl-C" in step:
            raise KeyboardInterrupt

    for seed in (1, 2):
        backend = backends.backend("aws", Path(".scones"), Run(f"run-{seed}"))
        with pytest.raises(TrainingError, match="continues"):
            lifecycle.train(backend, TrainingRequest(data, Path("model"), seed=seed), steps=detach)
    uploads = [step for step in said if "objects written" in step]
    assert "46 objects written, 0 existed" in uploads[0]
    assert "0 objects written, 46 existed" in uploads[1]
    assert set(sagemaker.jobs) == {"scones-run-1", "scones-run-2"}


def test_ctrl_c_lets_go_of_the_job(sagemaker: SageMaker, data: Path) -> None:
    """Ctrl-C ends the command, not the job, and says how to follow it again and how to stop it."""
    sagemaker.idle = True
    command = [sys.executable, "-c", "import sys; from scones_ml.cli import main; sys.exit(main())"]
    with subprocess.Popen(
        [*command, "train", str(data), "--on", "aws"], env=os.environ, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = [next(line for line in process.stderr if "Ctrl-C" in line)]
        process.send_signal(signal.SIGINT)
        said += process.stderr.read().splitlines()
        assert process.wait(30) == 130
    (name,) = sagemaker.jobs
    assert said[1:] == [
        f"scones: training job {name} continues: follow it again with "
        f"`scones train --on aws --attach {name}`, stop it with "
        f"`aws sagemaker stop-training-job --training-job-name {name}`"
    ]
    assert sagemaker.jobs[name]["TrainingJobStatus"] == "InProgress"
    assert name in {found.name for found in Ledger(Path(".scones/ledger.jsonl")).resources()}


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (
            (
                "AccessDeniedException",
                f"User: arn:aws:iam::123456789012:user/ann is not authorized to perform: iam:PassRole on resource: "
                f"{ROLE}",
            ),
            f"perform: iam:PassRole on resource: {ROLE}: allow the named action",
        ),
        (
            (
                "ResourceLimitExceeded",
                "The account-level service limit 'ml.g4dn.xlarge for training job usage' is 0 Instances",
            ),
            "is 0 Instances: request a higher quota in Service Quotas, or choose another instance type",
        ),
    ],
)
def test_what_aws_refuses(
    sagemaker: SageMaker, data: Path, capsys: pytest.CaptureFixture[str], refusal: tuple[str, str], message: str
) -> None:
    """A missing permission names action and role, an exceeded quota names the instance, each with a remedy."""
    sagemaker.refusal = refusal
    assert message in complaint(capsys, "train", str(data), "--on", "aws")
    assert sagemaker.jobs == {}


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        (
            (),
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "Unable to locate credentials: set AWS_PROFILE",
        ),
        ((), {"AWS_DEFAULT_REGION": "us-esat-1"}, "is known for region 'us-esat-1'"),
        ((), {"AWS_DEFAULT_REGION": None}, "no AWS region is set"),
        ((), {"SCONES_BUCKET": "scones-nobody-has"}, "scones-nobody-has"),
        (("--instance-type", "ml.g4dn.huge"), {}, "InstanceType is 'ml.g4dn.huge', not one of"),
        (
            ("--instance-type", "g4dn.xlarge"),
            {},
            "instance type 'g4dn.xlarge': SageMaker types begin with ml., as in ml.m5.large",
        ),
        (
            ("--attach", "scones-gone"),
            {},
            "training job scones-gone: ValidationException: Requested resource not found",
        ),
    ],
)
def test_what_is_refused_before_a_job_starts(
    sagemaker: SageMaker,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    environment: Mapping[str, str | None],
    message: str,
) -> None:
    """No credentials, a wrong region, a bucket that is not there, an instance that is none: one line each."""
    for name, value in environment.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert message in complaint(capsys, "train", str(data), "--on", "aws", *options)
    assert sagemaker.jobs == {}


@pytest.mark.parametrize("options", [("--spot",), ("--instance-type", "ml.m5.xlarge"), ("--attach", "job")])
def test_options_of_jobs_need_aws(data: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]) -> None:
    """What only a job on AWS can do is refused on this machine."""
    assert "add --on aws" in complaint(capsys, "train", str(data), *options)


def test_a_plan_names_what_a_model_holds(sagemaker: SageMaker, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that goes on from drawings cannot be planned before their model is made, and the message says so."""
    line = complaint(capsys, "train", str(data), "--on", "aws", "--init", "synthetic", "--dry-run")
    assert "the model of drawings is not made yet" in line
    assert not Path(".scones").exists()


def test_something_to_learn_from_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a data set, and no job to follow, the message says what to give."""
    assert "no data set is given: scones train DATA" in complaint(capsys, "train")
