"""Trainer on SageMaker: data and source go up to S3, AWS's PyTorch container trains, the model comes back."""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from scones_ml import dataset
from scones_ml.aws.training_jobs import TrainingJobs
from scones_ml.dataset.manifests import parse_uri
from scones_ml.errors import ConfigurationError, TrainingError
from scones_ml.events import ImageRef
from scones_ml.ports import ObjectStore, Progress, TrainingRequest, no_progress
from scones_ml.training.channels import training_channel
from scones_ml.training.hyperparameters import ScriptMode
from scones_ml.training.job import Resources, Spot, TrainingJob
from scones_ml.training.source import pack

__all__ = ["SageMakerTrainer", "TrainingPlace"]

_MOST_BYTES = 1 << 30
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class TrainingPlace:
    """Where training jobs run and what they may use.

    Attributes:
        role_arn: of the container.
        region: where jobs run.
        bucket: for data, source and models.
        prefix: of every key.
        resources: the machine.
        spot: whether to use spare capacity.
        image_uri: the container; AWS's own for the region when None.
    """

    role_arn: str
    region: str
    bucket: str
    prefix: str = "scones"
    resources: Resources = field(default_factory=Resources)
    spot: bool = False
    image_uri: str | None = None

    @property
    def root(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix.strip('/')}".rstrip("/")


class SageMakerTrainer:
    """Runs ``scones_ml.training`` as SageMaker training jobs.

    Args:
        place: where jobs run.
        store: S3.
        jobs: SageMaker.
        job_name: makes a new job's name.
        said: called with each line of a job's log.
    """

    def __init__(
        self,
        place: TrainingPlace,
        store: ObjectStore,
        jobs: TrainingJobs,
        job_name: Callable[[], str] | None = None,
        said: Callable[[str], object] = str,
    ) -> None:
        self._place, self._store, self._jobs, self._said = place, store, jobs, said
        self._job_name = job_name or _new_name

    def train(self, request: TrainingRequest, progress: Progress = no_progress) -> None:
        """See :meth:`scones_ml.ports.Trainer.train`; Ctrl-C lets go of the job, which goes on."""
        job = self.prepare(request)
        self._jobs.start(job)
        self.attach(job.name, request.model, progress)

    def prepare(self, request: TrainingRequest) -> TrainingJob:
        """Upload what the job reads, unless it is there, and say what the job is; nothing is started.

        Raises:
            DatasetError: ``request.data`` is not a staged data set.
            ConfigurationError: no permission, an unknown region, a hyperparameter out of range.
        """
        place = self._place
        data = dataset.load(request.data)
        where = f"{place.root}/data/{data.hash[:32]}"
        hyperparameters = ScriptMode.parse(
            {
                "source": self._upload_source(),
                "preset": request.preset,
                "epochs": request.epochs,
                "seed": request.seed,
                "threads": request.threads,
                "target_precision": request.target_precision,
                "device": request.device,
            }
        )
        name = self._job_name()
        resources = place.resources
        if place.spot:
            limit = 2 * resources.max_runtime_seconds
            resources = replace(resources, spot=Spot(f"{place.root}/checkpoints/{name}", limit))
        job = TrainingJob(
            name=name,
            role_arn=place.role_arn,
            region=place.region,
            output=f"{place.root}/models",
            hyperparameters=hyperparameters,
            channels=(training_channel(where),),
            resources=resources,
            image_uri=place.image_uri,
        )
        dataset.upload(data, where, self._store)
        return job

    def attach(self, name: str, model: Path, progress: Progress = no_progress) -> None:
        """Follow a job that was started before, and fetch its model.

        Args:
            name: of the job.
            model: the folder that its files are written to.
            progress: counts epochs.

        Raises:
            TrainingError: the job did not finish, or left no model.
        """
        done = self._jobs.follow(name, progress, self._said)
        bucket, key = parse_uri(done.model_uri)
        stored = self._store.read(ImageRef(s3_bucket=bucket, s3_key=key), _MOST_BYTES)
        _unpack(stored.data, done.model_uri, model)

    def _upload_source(self) -> str:
        archive = pack()
        uri = f"{self._place.root}/source/{hashlib.sha256(archive).hexdigest()[:32]}.tar.gz"
        bucket, key = parse_uri(uri)
        if not any(found.key == key for found in self._store.list(bucket, key)):
            self._store.write(bucket, key, archive, "application/gzip")
        return uri


def _unpack(archive: bytes, uri: str, folder: Path) -> None:
    """Write the archive's files, all or none; what lies in folders is left out, links are refused."""
    files: dict[str, bytes] = {}
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
            for member in members:
                size += member.size
                if size > _MOST_BYTES or not (member.isreg() or member.isdir()):
                    raise TrainingError(f"{uri} holds {member.name!r}, which is no plain file of a model: not unpacked")
                name = member.name.removeprefix("./")
                content = members.extractfile(member) if member.isreg() and _FILE.fullmatch(name) else None
                if content is not None:
                    files[name] = content.read()
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise TrainingError(f"{uri} is no whole model archive: {exc}") from exc
    if not files:
        raise TrainingError(f"{uri} holds no model")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as exc:
        raise ConfigurationError(f"cannot write the model to {folder}: {exc.strerror}") from exc


def _new_name() -> str:
    return f"scones-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
