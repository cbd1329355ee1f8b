"""Training jobs on SageMaker: start, follow through their logs, stop."""

from __future__ import annotations

import itertools
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast

from scones_ml.aws import clients
from scones_ml.aws.errors import translated
from scones_ml.aws.requests import check_request
from scones_ml.errors import ConfigurationError, TrainingError, TransientServiceError
from scones_ml.ports import Progress, Steps, no_progress, no_steps
from scones_ml.sagemaker.training_job import METRICS, TrainingJob, training_request
from scones_ml.sagemaker.tuning import Tuning, tuning_request

__all__ = ["LOG_GROUP", "FinishedJob", "TrainingJobs"]

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_POLL_SECONDS = 10.0  # a job takes minutes; a poll is three calls or more
_LAST_LINES = 5  # they are joined into one error line
_MOST_MISSES = 30  # failed polls in a row before following is given up: five minutes
_REMEDIES = {
    "MaxRuntimeExceeded": "allow more time with --max-hours",
    "MaxWaitTimeExceeded": "too little spare capacity: train without --spot, or on another --instance-type",
}
_TOTAL = re.compile(r"\bepochs=(\d+)")
_EPOCH = re.compile(r"Epoch\[(\d+)\] Time cost=")
_FEATURES = re.compile(r"Features\[(\d+)\] of (\d+)")
_METRICS = {name: re.compile(pattern) for name, pattern in METRICS.items()}


class _SageMaker(Protocol):
    """The part of a SageMaker client that is used here."""

    def create_training_job(self, **request: Any) -> Mapping[str, Any]:
        """Start a training job."""
        ...

    def create_hyper_parameter_tuning_job(self, **request: Any) -> Mapping[str, Any]:
        """Start a tuning job."""
        ...

    def describe_training_job(self, *, TrainingJobName: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """Describe a training job."""
        ...

    def stop_training_job(self, *, TrainingJobName: str) -> object:  # noqa: N803 - AWS's spelling
        """Stop a training job."""
        ...


class _Logs(Protocol):
    """The part of a CloudWatch Logs client that is used here."""

    def describe_log_streams(self, **request: Any) -> Mapping[str, Any]:
        """List log streams."""
        ...

    def get_log_events(self, **request: Any) -> Mapping[str, Any]:
        """Read a log stream."""
        ...


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A training job that has completed.

    Attributes:
        name: name of the job.
        model_uri: its ``model.tar.gz``.
        billable_seconds: billed time; None when SageMaker does not report it.
        metrics: values by name and epoch, from the log.
    """

    name: str
    model_uri: str
    billable_seconds: int | None
    metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


class TrainingJobs:
    """Starts, follows and stops training jobs.

    Args:
        sagemaker: a SageMaker client; None creates one from the environment on first use.
        logs: a CloudWatch Logs client; None likewise.
        pause: sleeps for the seconds between two polls.
    """

    def __init__(
        self,
        sagemaker: _SageMaker | None = None,
        logs: _Logs | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._given, self._pause = (sagemaker, logs), pause

    @cached_property
    def _sagemaker(self) -> _SageMaker:
        return self._given[0] or cast("_SageMaker", clients.client("sagemaker", clients.CONTROL_PLANE))

    @cached_property
    def _logs(self) -> _Logs:
        return self._given[1] or cast("_Logs", clients.client("logs", clients.CONTROL_PLANE))

    def start(self, job: TrainingJob) -> str:
        """Check the request of a training job and start it; returns its ARN.

        Raises:
            ConfigurationError: the request is invalid or refused, the name is taken, or permission or quota is missing.
            TransientServiceError: throttled or unreachable.
        """
        request = training_request(job)
        check_request("sagemaker", "CreateTrainingJob", request)
        with translated(f"training job {job.name}"):
            return str(self._sagemaker.create_training_job(**request)["TrainingJobArn"])

    def start_tuning(self, tuning: Tuning) -> str:
        """Check the request of a tuning job and start it; returns its ARN.

        Raises:
            ConfigurationError: as :meth:`start`.
            TransientServiceError: as :meth:`start`.
        """
        request = tuning_request(tuning)
        check_request("sagemaker", "CreateHyperParameterTuningJob", request)
        with translated(f"tuning job {tuning.job.name}"):
            return str(self._sagemaker.create_hyper_parameter_tuning_job(**request)["HyperParameterTuningJobArn"])

    def stop(self, name: str) -> None:
        """Stop a training job; the model trained so far is kept.

        Raises:
            ConfigurationError: there is no such job, or permission is missing.
        """
        with translated(f"training job {name}"):
            self._sagemaker.stop_training_job(TrainingJobName=name)

    def follow(self, name: str, progress: Progress = no_progress, steps: Steps = no_steps) -> FinishedJob:
        """Follow a training job to its end; after Ctrl-C the job continues.

        Args:
            name: name of the job.
            progress: called for epochs, or for images while their features are computed.
            steps: called when following starts, then with each line of the log.

        Raises:
            TrainingError: the job failed or was stopped, with the reason and its last lines; or Ctrl-C, with the
                commands that follow and stop it.
            ConfigurationError: there is no such job, or permission is missing.
            TransientServiceError: AWS was unreachable for minutes.
        """
        try:
            steps(f"following training job {name}; it continues after Ctrl-C")
            log = _Log(self._logs, name, progress, steps)
            while (found := self._poll(name, log))["TrainingJobStatus"] not in ("Completed", "Failed", "Stopped"):
                self._pause(_POLL_SECONDS)
            self._pause(_POLL_SECONDS)  # the last lines arrive late
            self._poll(name, log)
        except KeyboardInterrupt as exc:
            raise TrainingError(
                f"training job {name} continues: follow it again with "
                f"`scones train --on aws --attach {name}`, stop it with "
                f"`aws sagemaker stop-training-job --training-job-name {name}`"
            ) from exc
        return _finished(name, found, log)

    def _poll(self, name: str, log: _Log) -> Mapping[str, Any]:
        """Describe the job and read its new log lines; retries while AWS is unreachable."""
        for miss in itertools.count(1):
            try:
                with translated(f"training job {name}"):
                    found = self._sagemaker.describe_training_job(TrainingJobName=name)
                log.total = log.total or int(found.get("HyperParameters", {}).get("epochs", 0))
                log.read()
            except TransientServiceError:
                if miss == _MOST_MISSES:
                    raise
                self._pause(_POLL_SECONDS)
            else:
                break
        return found


def _finished(name: str, found: Mapping[str, Any], log: _Log) -> FinishedJob:
    status = found["TrainingJobStatus"]
    if status != "Completed":
        reason = " ".join(str(found.get("FailureReason") or found.get("SecondaryStatus", "")).split())
        remedy = f": {_REMEDIES[reason]}" if reason in _REMEDIES else ""
        last = "; its last lines: " + " | ".join(log.last) if log.last else ""
        raise TrainingError(f"training job {name} {status.lower()}: {reason}{remedy}{last}")
    return FinishedJob(
        name=name,
        model_uri=found["ModelArtifacts"]["S3ModelArtifacts"],
        billable_seconds=found.get("BillableTimeInSeconds"),
        metrics={name: tuple(values) for name, values in log.metrics.items() if values},
    )


class _Log:
    """A job's log streams, each with its read position."""

    def __init__(self, logs: _Logs, job: str, progress: Progress, steps: Steps) -> None:
        self._logs, self._job, self._progress, self._steps = logs, job, progress, steps
        self._readable, self._features = True, False
        self._tokens: dict[str, str] = {}
        self.total = 0
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self.metrics: dict[str, list[float]] = {name: [] for name in METRICS}

    def read(self) -> None:
        """Read new lines; without permission to read logs, the job is followed without them."""
        if not self._readable:
            return
        try:
            with translated(f"logs of training job {self._job}"):
                for stream in self._streams():
                    for line in self._lines(stream):
                        self._take(line)
        except ConfigurationError as exc:
            self._readable = False
            self._steps(str(exc))

    def _streams(self) -> Iterator[str]:
        request: dict[str, str] = {"logGroupName": LOG_GROUP, "logStreamNamePrefix": f"{self._job}/"}
        while True:
            try:
                with translated(f"logs of training job {self._job}"):
                    answer = self._logs.describe_log_streams(**request)
            except ConfigurationError as exc:
                if exc.code == "ResourceNotFoundException":  # the group does not exist before the account's first job
                    return
                raise
            yield from (stream["logStreamName"] for stream in answer["logStreams"])
            if not answer.get("nextToken"):
                return
            request["nextToken"] = answer["nextToken"]

    def _lines(self, stream: str) -> Iterator[str]:
        while True:
            known = {"nextToken": self._tokens[stream]} if stream in self._tokens else {}
            answer = self._logs.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **known
            )
            yield from (event["message"].rstrip() for event in answer["events"])
            # At the end of a stream GetLogEvents returns the same token.
            ended = not answer["events"] or self._tokens.get(stream) == answer["nextForwardToken"]
            self._tokens[stream] = answer["nextForwardToken"]
            if ended:
                return

    def _take(self, line: str) -> None:
        self._steps(line)
        if line:
            self.last.append(line)
        for name, pattern in _METRICS.items():
            if match := pattern.search(line):
                self.metrics[name].append(float(match[1]))
        if not self.total and (match := _TOTAL.search(line)):
            self.total = int(match[1])
        if match := _FEATURES.search(line):
            self._features = True
            self._progress(int(match[1]), int(match[2]))
        elif not self._features and (match := _EPOCH.search(line)):
            done = int(match[1]) + 1
            self._progress(done, max(self.total, done))
