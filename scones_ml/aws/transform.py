"""Batch transform jobs on SageMaker: a model classifies all objects under an S3 prefix."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.objects import is_stored, store_package
from scones_ml.aws.resources import Resources, status_of
from scones_ml.aws.waiting import wait_until_stable
from scones_ml.errors import DeploymentError
from scones_ml.plans import Change, Ledger, Plan, Run, execute
from scones_ml.ports import ObjectStore, Steps, no_steps
from scones_ml.sagemaker.endpoint_requests import Vpc
from scones_ml.sagemaker.model_package import pack_model
from scones_ml.sagemaker.transform import TransformRequest, transform_plan

__all__ = ["BatchTransforms"]

_POLL_SECONDS: Final = 30.0  # a job takes minutes to start, and only its status is shown


class BatchTransforms:
    """Runs transform jobs.

    Args:
        environment: region, role, bucket.
        store: the S3 store.
        resources: resources on SageMaker.
        ledger: record of every change.
        run: run that new resources are recorded under.
        vpc: VPC that the containers join; None for none.
        pause: sleeps for the seconds between two polls.
    """

    def __init__(
        self,
        environment: AwsEnvironment,
        store: ObjectStore,
        resources: Resources,
        ledger: Ledger,
        run: Run,
        vpc: Vpc | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environment, self._store, self._resources = environment, store, resources
        self._ledger, self._run, self._vpc = ledger, run, vpc
        self._pause = pause

    def plan(self, request: TransformRequest) -> Plan:
        """List the changes of a job; needs no credentials and changes nothing."""
        target = self._environment.planned().deployment_target(self._vpc)
        return self._checked(transform_plan(request, target, pack_model(request.model)))

    def transform(self, request: TransformRequest, steps: Steps = no_steps) -> None:
        """Run a job to its end; predictions are written under ``request.destination``.

        Raises:
            ConfigurationError: AWS refuses the request, or permission or quota is missing.
            DeploymentError: the job failed or was stopped, with AWS's reason; its name is taken; or Ctrl-C, with the
                command that stops it.
        """
        target = self._environment.deployment_target(self._vpc)
        plan = self._checked(transform_plan(request, target, pack_model(request.model)))
        for kind in ("transform job", "model"):
            if self._resources.find(kind, request.name):
                raise DeploymentError(f"{kind} {request.name} already exists: choose another name")
        needed = tuple(change for change in plan.changes if not self._is_stored(change))
        execute(
            replace(plan, changes=needed),
            lambda change: self._perform(change, steps),
            self._ledger,
            self._run,
        )

    def _checked(self, plan: Plan) -> Plan:
        for change in plan.changes:
            self._resources.check(change)
        return plan

    def _is_stored(self, change: Change) -> bool:
        return change.kind == "object" and is_stored(self._store, change)

    def _perform(self, change: Change, steps: Steps) -> None:
        steps(f"{change.action} {change.kind} {change.name}")
        if change.kind == "object":
            store_package(self._store, change)
            return
        self._resources.perform(change, self._run)
        if change.kind == "transform job":
            self._follow(change.name, steps)

    def _follow(self, name: str, steps: Steps) -> None:
        found = wait_until_stable(
            self._resources,
            "transform job",
            name,
            interval=_POLL_SECONDS,
            pause=self._pause,
            steps=steps,
            on_interrupt=f"stop it with `aws sagemaker stop-transform-job --transform-job-name {name}`",
        )
        status = status_of(found) or "is gone"
        if status != "Completed":
            reason = " ".join(str((found or {}).get("FailureReason", "no reason given")).split())
            raise DeploymentError(f"transform job {name} {status.lower()}: {reason}")
