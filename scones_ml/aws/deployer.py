"""Deployer on SageMaker: plans, records and makes each change, and waits for the endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from scones_ml.aws.endpoint_logs import last_lines, log_group
from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.log_groups import tag_logs
from scones_ml.aws.objects import is_stored, store_package
from scones_ml.aws.resources import MOVING, Resources, tags_of
from scones_ml.aws.waiting import wait_until_stable
from scones_ml.errors import ConfigurationError, DeploymentError, SconesError, TransientServiceError
from scones_ml.plans import Change, Ledger, Plan, Run, execute
from scones_ml.ports import DeploymentRequest, Endpoint, ObjectStore, Steps, no_steps
from scones_ml.sagemaker.endpoint_plan import Found, changes_needed, deployment_plan, removal_plan
from scones_ml.sagemaker.endpoint_requests import Vpc, alarm_name, is_version, variant_id
from scones_ml.sagemaker.model_package import pack_model
from scones_ml.settings import image_fit, read_labels

__all__ = ["SageMakerDeployer"]

_POLL_SECONDS: Final = 10.0  # an endpoint takes minutes to start, and each new status is shown
# Both take minutes; half an hour points to a fault, and the same command waits again.
_LONGEST_SECONDS: Final = {"Creating": 1_800, "Deleting": 1_800}
_LONGEST_UPDATE: Final = 5_400  # the hour that our update policy allows AWS, and half an hour to roll back
_VERSIONED: Final = ("endpoint config", "model")

Wait = Callable[[str], Mapping[str, Any] | None]


class SageMakerDeployer:
    """Endpoints on SageMaker.

    Args:
        environment: region, role, bucket.
        store: the S3 store.
        resources: SageMaker, Application Auto Scaling and CloudWatch.
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

    def plan(self, request: DeploymentRequest, steps: Steps = no_steps) -> Plan:
        """See :meth:`scones_ml.ports.Deployer.plan`; redeploying the same model changes nothing.

        Raises:
            ConfigurationError: permission or quota is missing, or AWS refuses the request.
            DeploymentError: something that is not ours has its name.
        """
        try:
            wanted = self._wanted(request, self._environment)
        except SconesError:
            self._wanted(request, self._environment.planned())  # errors of the request itself come first
            raise
        found = self._found(request.name, partial(self._wait_until_stable, steps=steps), wanted)
        return changes_needed(request, wanted, found)

    def preview(self, request: DeploymentRequest) -> Plan:
        """See :meth:`scones_ml.ports.Deployer.preview`; an unknown role or bucket is shown as its variable."""
        try:
            wanted = self._wanted(request, self._environment)
            return changes_needed(request, wanted, self._found(request.name, _refuse_to_wait, wanted))
        except (ConfigurationError, TransientServiceError) as exc:
            return replace(self._wanted(request, self._environment.planned()), unseen=str(exc))

    def deploy(self, request: DeploymentRequest, steps: Steps = no_steps, plan: Plan | None = None) -> Endpoint:
        """See :meth:`scones_ml.ports.Deployer.deploy`.

        Raises:
            ConfigurationError: permission or quota is missing, or AWS refuses the request.
            DeploymentError: the endpoint did not start.
        """
        plan = plan or self.plan(request, steps)
        if not plan.changes:
            steps(f"endpoint {request.name} is up to date")
        execute(plan, lambda change: self._perform(change, steps), self._ledger, self._run)
        return self._endpoint(request.name)

    def endpoints(self) -> Sequence[Endpoint]:
        """See :meth:`scones_ml.ports.Deployer.endpoints`: those in the region with our tag."""
        ours = [name for name in self._resources.names("endpoint") if self._resources.is_ours("endpoint", name)]
        return [self._endpoint(name) for name in ours]

    def running(self) -> frozenset[str]:
        """See :meth:`scones_ml.ports.Deployer.running`."""
        return frozenset(endpoint.name for endpoint in self.endpoints())

    def remove(self, name: str) -> None:
        """See :meth:`scones_ml.ports.Deployer.remove`; model packages and captures in S3 are kept."""
        plan = removal_plan(self._environment.name, self._found(name, partial(self._wait_until_stable, steps=no_steps)))
        execute(plan, lambda change: self._perform(change, no_steps), self._ledger, self._run)

    def _wanted(self, request: DeploymentRequest, environment: AwsEnvironment) -> Plan:
        """The full plan of a first deployment, each request checked against AWS's service models."""
        plan = deployment_plan(request, environment.deployment_target(self._vpc), pack_model(request.model))
        for change in plan.changes:
            self._resources.check(change)
        return plan

    def _found(self, name: str, wait: Wait, wanted: Plan | None = None) -> Found:
        """Existing resources of a plan, of the endpoint's earlier versions, and of those that it no longer needs.

        A resource that the plan needs and that is not ours is an error; others that are not ours are ignored.

        Args:
            name: name of the endpoint.
            wait: called when the endpoint is being changed; returns its description afterwards.
            wanted: the plan; None for an endpoint to remove.
        """
        changes = wanted.changes if wanted else ()
        endpoint = self._resources.find_ours("endpoint", name)
        # Before anything else is looked up: the end of an update or a rollback changes what exists.
        if endpoint and endpoint["EndpointStatus"] in MOVING:
            endpoint = wait(name)
        needed = {(change.kind, change.name) for change in changes if change.kind in ("alarm", *_VERSIONED)}
        others = {("alarm", alarm_name(name))} - needed
        for kind in _VERSIONED:
            versions = {(kind, found) for found in self._resources.names(kind, f"{name}-") if is_version(found, name)}
            others |= versions - needed
        look = {identity: self._resources.find_ours(*identity) for identity in sorted(needed)}
        look |= {identity: self._resources.find_if_ours(*identity) for identity in sorted(others)}
        look["endpoint", name] = endpoint
        for kind in ("scaling target", "scaling policy") if endpoint else ():
            look[kind, variant_id(name)] = self._resources.find(kind, variant_id(name))
        for change in changes:
            if change.kind == "object" and is_stored(self._store, change):
                look[change.kind, change.name] = {}
        return {identity: found for identity, found in look.items() if found is not None}

    def _perform(self, change: Change, steps: Steps) -> None:
        steps(f"{change.action} {change.kind} {change.name}")
        if change.kind == "object":
            store_package(self._store, change)
            return
        self._resources.perform(change, self._run)
        if change.kind == "endpoint":
            found = self._wait_until_stable(change.name, steps)
            if change.action != "delete":
                self._tag_logs(change.name, found)
                self._check_in_service(change, found)

    def _tag_logs(self, name: str, found: Mapping[str, Any] | None) -> None:
        """Tag the log group, which SageMaker keeps when the endpoint is deleted."""
        if found is None:
            return
        try:
            tag_logs(self._resources, name, found, tags_of(self._run))
        except SconesError:  # clean-up tags it, too, before it deletes the endpoint
            return

    def _wait_until_stable(self, name: str, steps: Steps) -> Mapping[str, Any] | None:
        """Wait until an endpoint no longer changes; None when it is gone.

        Raises:
            DeploymentError: the endpoint takes too long; or Ctrl-C, with the command that resumes.
        """
        try:
            return wait_until_stable(
                self._resources,
                "endpoint",
                name,
                interval=_POLL_SECONDS,
                pause=self._pause,
                steps=steps,
                on_interrupt="the same command waits for it again, `scones cleanup --on aws` removes it",
                longest=lambda status: _LONGEST_SECONDS.get(status, _LONGEST_UPDATE),
            )
        except TimeoutError as exc:
            raise DeploymentError(
                f"endpoint {name} is {exc}: see its log, {log_group(name)}; "
                "the same command waits again, `scones cleanup --on aws` removes it"
            ) from None

    def _check_in_service(self, change: Change, found: Mapping[str, Any] | None) -> None:
        name = change.name
        if found is None:
            raise DeploymentError(f"endpoint {name} was removed by someone else during deployment")
        reason = " ".join(str(found.get("FailureReason", "")).split())
        if found["EndpointStatus"] != "InService":
            said = last_lines(self._resources, name)
            raise DeploymentError(f"endpoint {name} is {found['EndpointStatus']}: {reason or 'no reason given'}{said}")
        if found["EndpointConfigName"] != change.request["EndpointConfigName"]:
            raise DeploymentError(
                f"endpoint {name} was rolled back to {found['EndpointConfigName']}, which is in service: "
                f"{reason or f'alarm {alarm_name(name)} was triggered'}{last_lines(self._resources, name)}"
            )

    def _endpoint(self, name: str) -> Endpoint:
        """Read an endpoint's description from its model's environment; empty when it is gone."""
        endpoint = self._resources.find("endpoint", name) or {}
        config = self._resources.find("endpoint config", endpoint.get("EndpointConfigName", name)) or {}
        variants = config.get("ProductionVariants", [{}])
        model = self._resources.find("model", variants[0].get("ModelName", name)) or {}
        environment = model.get("PrimaryContainer", {}).get("Environment", {})
        threshold = environment.get("SCONES_THRESHOLD")
        captures = config.get("DataCaptureConfig", {}).get("DestinationS3Uri")
        return Endpoint(
            name=name,
            url=self._resources.url("sagemaker-runtime"),
            labels=read_labels(environment.get("SCONES_LABELS", "")),
            image_size=int(environment.get("SCONES_IMAGE_SIZE", 0)),
            threshold=float(threshold) if threshold else None,
            captures=f"{captures}/{name}" if captures else "",
            fit=image_fit(environment),
        )


def _refuse_to_wait(name: str) -> None:
    raise TransientServiceError(f"endpoint {name} is being changed")
