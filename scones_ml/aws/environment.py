"""The AWS environment of a command: region, buckets, role and state machines.

Variables name them (:mod:`scones_ml.settings`); what no variable names is an output of the CloudFormation stack that
``workflows/template.yaml`` makes. Nothing is looked up before it is used, and the stack only once.
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
"""Which output of the stack stands for an unset variable."""

_ARNS: Final = ("SCONES_ROLE", "SCONES_STATE_MACHINE", "SCONES_BATCH_STATE_MACHINE")


class AwsEnvironment:
    """Region, buckets, role and state machines, each looked up when it is first used.

    Args:
        environ: the environment's variables.
        outputs: name of a stack to its outputs, None for no stack; asks CloudFormation when not given.

    Raises:
        ConfigurationError: a variable is wrong. Each attribute raises it when neither its variable nor the stack says
            where the thing is, and names both remedies.
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
        """``"us-east-1"``, as boto3 finds it."""
        return clients.region()

    @property
    def name(self) -> str:
        """``"aws:us-east-1"``, as plans and the ledger say it."""
        return f"aws:{self.region}"

    @property
    def stack(self) -> str:
        """Name of the CloudFormation stack."""
        return self._names.stack

    @property
    def root(self) -> str:
        """``s3://bucket`` or ``s3://bucket/prefix`` for data, source, models and captures, no slash at the end."""
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
        """Where endpoints' data capture goes: ``s3://bucket/captures``."""
        return f"{self.root}/{CAPTURE_PREFIX.rstrip('/')}"

    @property
    def role(self) -> str:
        """ARN of the role that SageMaker takes on."""
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
        """The bucket that images arrive in."""
        return self._names.input_bucket or self._output("SCONES_INPUT_BUCKET")

    @property
    def output_bucket(self) -> str:
        """The bucket that outcomes go to."""
        return self._names.output_bucket or self._output("SCONES_OUTPUT_BUCKET")

    def deployment_target(self, vpc: Vpc | None = None) -> DeploymentTarget:
        """What deployments are made for here.

        Args:
            vpc: the private network that containers reach; none when None.

        Raises:
            ConfigurationError: neither a variable nor the stack names region, role or bucket.
        """
        return DeploymentTarget(self.region, self.role, self.root, self.captures, vpc)

    def planned(self) -> PlannedAwsEnvironment:
        """The same environment for plans that are only shown."""
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
                f"set {variable}, or deploy the stack (docs/deploy.md) and name it in SCONES_STACK"
            )
        return found

    def _here(self, arn: str, variable: str) -> str:
        """The ARN, unless it names another region: Step Functions would only call it invalid."""
        region = arn.split(":")[3]
        if region != self.region:
            raise ConfigurationError(
                f"{variable}: {arn} is in {region}, but the region is {self.region}: set AWS_DEFAULT_REGION={region}"
            )
        return arn


class PlannedAwsEnvironment(AwsEnvironment):
    """An environment for plans that are shown before there is an account: a name that is missing is its variable's."""

    def _output(self, variable: str) -> str:
        try:
            return super()._output(variable)
        except SconesError:
            return f"arn:aws:iam::{'0' * 12}:role/{variable}" if variable in _ARNS else variable


def stack_outputs(stack: str) -> dict[str, str] | None:
    """The outputs of a CloudFormation stack; None when there is none of that name.

    Raises:
        ConfigurationError: no permission to ask, no credentials or no region.
        TransientServiceError: throttled or out of reach.
    """
    found = describe_stack(Resources(), stack)
    if found is None:
        return None
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}
