"""Trainer on SageMaker: uploads data and source to S3, trains in AWS's PyTorch container, downloads the model."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scones_ml import dataset
from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.requests import check_request
from scones_ml.aws.resources import tags_of
from scones_ml.cost.prices import hourly_price
from scones_ml.dataset.resolution import typical_side
from scones_ml.dataset.transfer import check_upload
from scones_ml.errors import ConfigurationError, TrainingError
from scones_ml.events import ImageRef, parse_object_uri, parse_uri
from scones_ml.inference.archive import root_files
from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH, MODEL_WEIGHTS, read_file
from scones_ml.plans import Change, Ledger, Plan, Run, execute
from scones_ml.ports import (
    ObjectStore,
    Progress,
    Steps,
    TrainingRequest,
    choose_recipe,
    mark_prefix,
    no_progress,
    no_steps,
)
from scones_ml.sagemaker.channels import model_channel, training_channel
from scones_ml.sagemaker.hyperparameters import ScriptMode
from scones_ml.sagemaker.model_package import archive
from scones_ml.sagemaker.training_job import (
    DEFAULT_INSTANCE,
    HEAD_INSTANCE,
    Compute,
    Spot,
    TrainingJob,
    training_request,
)
from scones_ml.sagemaker.training_source import BACKBONE, own_backbone, pack, users_backbone

if TYPE_CHECKING:
    from scones_ml.aws.training_jobs import TrainingJobs

__all__ = ["SageMakerTrainer"]

_MOST_BYTES: Final = 400_000_000  # of the archive and of its files, all held in memory; our models are far smaller
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_JOB: Final = "training job"


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A job and its inputs, before anything is sent."""

    job: TrainingJob
    recipe: str
    data: dataset.Dataset
    data_uri: str
    archives: dict[str, bytes]  # by URI: the source, and the model to start from


class SageMakerTrainer:
    """Runs ``scones_ml.training`` as SageMaker training jobs.

    Args:
        environment: region, role, bucket.
        store: the S3 store.
        jobs: training jobs on SageMaker.
        ledger: record of every change.
        run: run that new resources are recorded under.
    """

    def __init__(
        self, environment: AwsEnvironment, store: ObjectStore, jobs: TrainingJobs, ledger: Ledger, run: Run
    ) -> None:
        self._environment, self._store, self._jobs = environment, store, jobs
        self._ledger, self._run = ledger, run

    def plan(self, request: TrainingRequest) -> Plan:
        """See :meth:`scones_ml.ports.Trainer.plan`.

        Raises:
            DatasetError: ``request.data`` is not a staged data set.
            ConfigurationError: the region or the instance type is unknown, or role or bucket is missing.
        """
        return self._plan(self._prepare(request))

    def train(self, request: TrainingRequest, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """See :meth:`scones_ml.ports.Trainer.train`; after Ctrl-C a job that has started continues."""
        prepared = self._prepare(request)
        plan = self._plan(prepared)
        check_request("sagemaker", "CreateTrainingJob", training_request(prepared.job))
        check_upload(prepared.data, prepared.data_uri, self._store)  # clean-up empties recorded prefixes
        execute(plan, partial(self._perform, prepared, progress, steps), self._ledger, self._run)
        self.attach(prepared.job.name, request.model, progress, steps)

    def attach(self, job: str, model: Path, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """See :meth:`scones_ml.ports.Trainer.attach`."""
        try:
            done = self._jobs.follow(job, progress, steps)
        except TrainingError as exc:
            if not isinstance(exc.__cause__, KeyboardInterrupt):  # after Ctrl-C the job continues, at a cost
                self._record_end(job)
            raise
        self._record_end(job)
        if done.billable_seconds is not None:
            steps(f"training job {job} has completed: {done.billable_seconds:,} seconds are billed")
        bucket, key = parse_object_uri(done.model_uri)
        stored = self._store.read(ImageRef(s3_bucket=bucket, s3_key=key), _MOST_BYTES)
        _unpack(stored.data, done.model_uri, model)

    def _prepare(self, request: TrainingRequest) -> _Prepared:
        root, name = self._environment.root, f"scones-{self._run.id}"
        data = dataset.load(request.data)
        data_uri = f"{root}/data/{data.hash[:32]}/"
        recipe = choose_recipe(
            request.recipe, typical_side(data), data.image_size, init=request.init is not None
        ).recipe
        backbone = _backbone(request, data.image_size) if recipe == "head" else {}
        source = pack(backbone)
        archives = {f"{root}/source/{_hash(source)}.tar.gz": source}
        channels = [training_channel(data_uri)]
        if request.init:
            parts = (MODEL_GRAPH, MODEL_CARD, MODEL_WEIGHTS)
            init = archive({part: read_file(request.init, part) for part in parts})
            channels.append(model_channel(f"{root}/models/{_hash(init)}/model.tar.gz"))
            archives[channels[-1].uri] = init
        compute = Compute(
            instance_type=request.instance_type or (HEAD_INSTANCE if recipe == "head" else DEFAULT_INSTANCE),
            max_runtime_seconds=request.max_seconds,
            # Twice: up to the same time again to wait for spare capacity.
            spot=Spot(f"{root}/checkpoints/{name}/", 2 * request.max_seconds) if request.spot else None,
        )
        job = TrainingJob(
            name=name,
            role_arn=self._environment.role,
            region=self._environment.region,
            output=f"{root}/models",
            hyperparameters=_hyperparameters(request, next(iter(archives)), next(iter(backbone), None)),
            channels=tuple(channels),
            compute=compute,
            tags=tags_of(self._run),
        )
        return _Prepared(job, recipe, data, data_uri, archives)

    def _plan(self, prepared: _Prepared) -> Plan:
        job, compute = prepared.job, prepared.job.compute
        put = partial(Change, "create", permission="s3:PutObject")
        changes = [put("objects", prepared.data_uri, "the data set")]
        changes += [put("object", uri, "the job's source and the model it starts from") for uri in prepared.archives]
        changes.append(Change("create", "objects", f"{job.output}/{job.name}/", "the trained model"))
        if compute.spot:
            changes.append(Change("create", "objects", compute.spot.checkpoints, "checkpoints to resume from"))
        hours = compute.max_runtime_seconds / 3_600
        limit = f"recipe {prepared.recipe}, at most {hours:g} h of {compute.instance_type}"
        changes.append(
            Change(
                "create",
                _JOB,
                job.name,
                f"{limit}, on cheaper spare capacity" if compute.spot else limit,
                "sagemaker:CreateTrainingJob",
                hourly_price(job.region, compute.instance_type),
                training_request(job),
            )
        )
        return Plan("train", self._environment.name, tuple(changes))

    def _perform(self, prepared: _Prepared, progress: Progress, steps: Steps, change: Change) -> None:
        """Make one change; existing objects are kept."""
        if change.kind == _JOB:
            self._jobs.start(prepared.job)
        elif change.kind == "objects" and change.name != prepared.data_uri:
            mark_prefix(self._store, *parse_uri(change.name))  # the job writes there
        elif change.name == prepared.data_uri:
            mark_prefix(self._store, *parse_uri(change.name))
            sent = dataset.upload(prepared.data, change.name, self._store, progress)
            steps(f"{sent.uri}: {sent.written:,} objects written, {sent.skipped:,} existed")
        elif change.name in prepared.archives:
            bucket, key = parse_object_uri(change.name)
            if not any(found.key == key for found in self._store.list(bucket, key)):
                self._store.write(bucket, key, prepared.archives[change.name], "application/gzip")

    def _record_end(self, job: str) -> None:
        """Record the end of a job, after which it costs nothing."""
        ended = Plan("train", self._environment.name, (Change("stop", _JOB, job, "has ended"),))
        execute(ended, lambda _: None, self._ledger, self._run)


def _backbone(request: TrainingRequest, size: int) -> Mapping[str, bytes]:
    return users_backbone(request.backbone, size) if request.backbone else own_backbone(size)


def _hyperparameters(request: TrainingRequest, source: str, backbone: str | None) -> ScriptMode:
    """The job's hyperparameters.

    Args:
        request: the training request.
        source: URI of the source archive.
        backbone: path within the archive; None without one.
    """
    return ScriptMode.parse(
        {
            "source": source,
            "recipe": request.recipe,
            "fit": request.fit,
            "backbone": backbone if request.backbone else None,
            "cache": BACKBONE if backbone and not request.backbone else None,
            "preset": request.preset,
            "epochs": request.epochs,
            "seed": request.seed,
            "threads": request.threads,
            "target_precision": request.target_precision,
            "device": request.device,
        }
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _unpack(archive: bytes, uri: str, folder: Path) -> None:
    """Write the archive's files, all or none; folders are skipped, links are refused."""
    try:
        files = root_files(io.BytesIO(archive), lambda name: _MOST_BYTES if _FILE.fullmatch(name) else 0)
    except ValueError as exc:
        raise TrainingError(f"{uri} {exc}: not unpacked") from exc
    if MODEL_CARD not in files:
        raise TrainingError(f"{uri} holds no {MODEL_CARD}; for a model of the built-in algorithm use `scones deploy`")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as exc:
        raise ConfigurationError(f"cannot write the model to {folder}: {exc.strerror}") from exc
