"""Backend of AWS: its ports, each created on first use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml.aws.environment import AwsEnvironment
from scones_ml.infrastructure.storage import UPLOAD_PREFIX
from scones_ml.plans import Ledger, Plan, Resource, Run
from scones_ml.ports import Buckets, BuiltInModel, Check, DeploymentRequest, RealTime

if TYPE_CHECKING:
    from scones_ml.aws.bulk import StepFunctionsBulk
    from scones_ml.aws.deployer import SageMakerDeployer
    from scones_ml.aws.inventory import AwsInventory
    from scones_ml.aws.store import S3ObjectStore
    from scones_ml.aws.trainer import SageMakerTrainer
    from scones_ml.aws.transform import BatchTransforms
    from scones_ml.aws.workflow import StepFunctionsRunner

__all__ = ["AwsBackend"]


class AwsBackend:
    """Backend on S3, SageMaker and Step Functions, as the environment and the stack configure them.

    Args:
        workspace: the folder that holds what commands leave behind on this machine.
        run: run that new resources are recorded under; None starts a new one, which never expires.
        environment: region, buckets, role and state machines; None reads the variables and the stack.
        pause: sleeps for the seconds between two polls of a training job.
    """

    def __init__(
        self,
        workspace: Path,
        run: Run | None = None,
        environment: AwsEnvironment | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.workspace, self._pause = workspace, pause
        self.ledger = Ledger(workspace / "ledger.jsonl")
        self.current_run = run or Run.new()
        self.environment = environment or AwsEnvironment()

    @property
    def place_name(self) -> str:
        """``"aws:REGION"``."""
        return self.environment.name

    @cached_property
    def buckets(self) -> Buckets:
        """The stack's buckets; uploads have their own prefix, which does not trigger the workflow."""
        return Buckets(
            self.environment.input_bucket,
            self.environment.output_bucket,
            f"{UPLOAD_PREFIX}{self.current_run.id}/",
            shared=True,
        )

    def using(self, endpoint: str | None = None) -> AbstractContextManager[None]:  # noqa: ARG002
        """See :meth:`scones_ml.ports.Backend.using`; takes no lock, since other machines use them too."""
        return nullcontext()

    @property
    def captures(self) -> str:
        """Prefix below the bucket of data and models."""
        return f"{self.environment.captures}/"

    @cached_property
    def store(self) -> S3ObjectStore:
        """S3."""
        from scones_ml.aws.store import S3ObjectStore

        return S3ObjectStore()

    @cached_property
    def trainer(self) -> SageMakerTrainer:
        """SageMaker training jobs."""
        from scones_ml.aws.trainer import SageMakerTrainer
        from scones_ml.aws.training_jobs import TrainingJobs

        jobs = TrainingJobs(pause=self._pause)
        return SageMakerTrainer(self.environment, self.store, jobs, self.ledger, self.current_run)

    @cached_property
    def deployer(self) -> SageMakerDeployer:
        """SageMaker endpoints."""
        from scones_ml.aws.deployer import SageMakerDeployer
        from scones_ml.aws.resources import Resources

        return SageMakerDeployer(self.environment, self.store, Resources(), self.ledger, self.current_run)

    @cached_property
    def transforms(self) -> BatchTransforms:
        """SageMaker batch transform jobs, which only AWS has."""
        from scones_ml.aws.resources import Resources
        from scones_ml.aws.transform import BatchTransforms

        return BatchTransforms(self.environment, self.store, Resources(), self.ledger, self.current_run)

    @cached_property
    def inventory(self) -> AwsInventory:
        """Resources of the account and region."""
        from scones_ml.aws.inventory import AwsInventory
        from scones_ml.aws.resources import Resources

        return AwsInventory(self.place_name, self.ledger, self.current_run, self.environment.stack, Resources())

    @cached_property
    def runner(self) -> StepFunctionsRunner:
        """Step Functions."""
        from scones_ml.aws.clients import BULK
        from scones_ml.aws.executions import StateMachineExecutions
        from scones_ml.aws.workflow import StepFunctionsRunner

        return StepFunctionsRunner(StateMachineExecutions(self.environment.state_machine, config=BULK))

    @cached_property
    def bulk(self) -> StepFunctionsBulk:
        """Step Functions' distributed maps."""
        from scones_ml.aws.bulk import StepFunctionsBulk

        return StepFunctionsBulk(self.environment, self.store)

    def checks(self) -> Iterator[Check]:
        """See :meth:`scones_ml.ports.Backend.checks`: the account, and the permissions that plans need."""
        from scones_ml.aws.account import account_checks
        from scones_ml.aws.resources import Resources

        return account_checks(self.environment, Resources(), self._plans())

    def _plans(self) -> Iterator[Plan]:
        """Plans to deploy and to remove an endpoint with auto scaling."""
        from scones_ml.sagemaker.endpoint_plan import deployment_plan

        model = BuiltInModel("s3://bucket/model.tar.gz", ("one", "two"))
        request = DeploymentRequest("scones", model, variant=RealTime(most_instances=2))
        plan = deployment_plan(request, self.environment.planned().deployment_target(None), None)
        yield plan
        made = [
            Resource(plan.place, change.kind, change.name, "", "created", datetime.now(UTC), 0.0, None)
            for change in plan.changes
        ]
        yield Plan("cleanup", plan.place, tuple(map(self.inventory.plan_removal, made)))
