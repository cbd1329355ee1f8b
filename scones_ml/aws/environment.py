"""AWS environment of a command: region, buckets, role and state machines.

Variables name them (:mod:`scones_ml.settings`); unset variables default to outputs of the CloudFormation stack of
``workflows/template.yaml``. Each is looked up on first use, the stack only once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Final

from scones_ml import settings
from scones_ml.aws import clients
from scones_ml.aws.resources import Resources
from scones_ml.aws.stacks import describe_stack
from scones_ml.errors import ConfigurationError, SconesError
from scones_ml.events import parse_uri
from scones_ml.infrastructure.storage import CAPTURE_PREFIX
from scones_ml.sagemaker.endpoint_requests import DeploymentTarget, Vpc

__all__ = ["AwsEnvironment", "PlannedAwsEnvironment", "stack_outputs"]

_OUTPUTS: Final = {
    "SCONES_ROLE": "SageMakerRoleArn",
    "SCONES_STATE_MACHINE": "StateMachineArn",
    "SCONES_BATCH_STATE_MACHINE": "BatchStateMachineArn",
    "SCONES_BUCKET": "OutputBucketName",
    "SCONES_INPUT_BUCKET": "InputBucketName",
    "SCONES_OUTPUT_BUCKET": "OutputBucketName",
}
"""Stack outputs that are the defaults of variables."""

_ARNS: Final = ("SCONES_ROLE", "SCONES_STATE_MACHINE", "SCONES_BATCH_STATE_MACHINE")


class AwsEnvironment:
    """Region, buckets, role and state machines, each looked up on first use.

    Args:
        environ: environment variables.
        outputs: function from a stack's name to its outputs, or None for no stack; queries CloudFormation by default.

    Raises:
        ConfigurationError: a variable is invalid. Each attribute raises it when neither its variable nor the stack
            defines it, and names both remedies.
    """

    def __init__(
        self,
        environ: settings.Environ = os.environ,
        outputs: Callable[[str], Mapping[str, str] | None] | None = None,
    ) -> None:
        self._environ, self._names = environ, settings.aws_names(environ)
        self._outputs = lru_cache(maxsize=None)(outputs or stack_outputs)

    @cached_property
    def region(self) -> str:
        """Region, as boto3 finds it: ``"us-east-1"``."""
        return clients.region()

    @property
    def name(self) -> str:
        """Name of the place in plans and the ledger: ``"aws:us-east-1"``."""
        return f"aws:{self.region}"

    @property
    def stack(self) -> str:
        """Name of the CloudFormation stack."""
        return self._names.stack

    @property
    def root(self) -> str:
        """``s3://bucket`` or ``s3://bucket/prefix`` for data, source, models and captures, without a slash at the
        end.
        """
        return self._names.bucket or f"s3://{self._output('SCONES_BUCKET')}"

    @property
    def bucket(self) -> str:
        """The bucket of :attr:`root`."""
        return parse_uri(self.root)[0]

    @property
    def prefix(self) -> str:
        """The prefix of :attr:`root`, without a slash at either end; empty for the whole bucket."""
        return parse_uri(self.root)[1]

    @property
    def captures(self) -> str:
        """Prefix of endpoints' data capture: ``s3://bucket/captures``."""
        return f"{self.root}/{CAPTURE_PREFIX.rstrip('/')}"

    @property
    def role(self) -> str:
        """ARN of the role that SageMaker assumes."""
        return self._names.role or self._output("SCONES_ROLE")

    @property
    def state_machine(self) -> str:
        """ARN of the state machine for one image."""
        variable = "SCONES_STATE_MACHINE"
        return self._here(self._names.state_machine or self._output(variable), variable)

    @property
    def batch_state_machine(self) -> str:
        """ARN of the state machine for all images under a prefix."""
        variable = "SCONES_BATCH_STATE_MACHINE"
        return self._here(self._names.batch_state_machine or self._output(variable), variable)

    @property
    def input_bucket(self) -> str:
        """Bucket that images arrive in."""
        return self._names.input_bucket or self._output("SCONES_INPUT_BUCKET")

    @property
    def output_bucket(self) -> str:
        """Bucket that outcomes are written to."""
        return self._names.output_bucket or self._output("SCONES_OUTPUT_BUCKET")

    def deployment_target(self, vpc: Vpc | None = None) -> DeploymentTarget:
        """Region, role and bucket of deployments.

        Args:
            vpc: VPC that the containers join; None for none.

        Raises:
            ConfigurationError: neither a variable nor the stack defines region, role or bucket.
        """
        return DeploymentTarget(self.region, self.role, self.root, self.captures, vpc)

    def planned(self) -> PlannedAwsEnvironment:
        """The same environment, for plans that are only displayed."""
        return PlannedAwsEnvironment(self._environ, self._outputs)

    def _output(self, variable: str) -> str:
        stack = self._names.stack
        try:
            outputs = self._outputs(stack)
        except ConfigurationError as exc:
            raise ConfigurationError(f"{variable} is not set, and {exc}", code=exc.code) from exc
        found = None if outputs is None else outputs.get(_OUTPUTS[variable])
        if found is None:
            lacks = (
                f"there is no stack {stack} in {self.region}"
                if outputs is None
                else f"stack {stack} has no output {_OUTPUTS[variable]}"
            )
            raise ConfigurationError(
                f"{variable} is not set, and {lacks}: "
                f"set {variable}, or deploy the stack (docs/deploy.md) and set SCONES_STACK to its name"
            )
        return found

    def _here(self, arn: str, variable: str) -> str:
        """Check that an ARN is in this region: Step Functions would only call it invalid."""
        region = arn.split(":")[3]
        if region != self.region:
            raise ConfigurationError(
                f"{variable}: {arn} is in {region}, but the region is {self.region}: set AWS_DEFAULT_REGION={region}"
            )
        return arn


class PlannedAwsEnvironment(AwsEnvironment):
    """Environment of plans displayed without an account: a missing name is shown as its variable's."""

    def _output(self, variable: str) -> str:
        try:
            return super()._output(variable)
        except SconesError:
            return f"arn:aws:iam::{'0' * 12}:role/{variable}" if variable in _ARNS else variable


def stack_outputs(stack: str) -> dict[str, str] | None:
    """The outputs of a CloudFormation stack; None when there is none of that name.

    Raises:
        ConfigurationError: permission, credentials or region are missing.
        TransientServiceError: throttled or unreachable.
    """
    found = describe_stack(Resources(), stack)
    if found is None:
        return None
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}
