"""What is ours on AWS: what the ledger names and, when asked, all that bears our tag; and how it is removed.

Nothing is deleted before AWS has said that it bears the tag ``scones:project``. Objects in S3 bear none: they are ours
when the ledger says so, or when they lie in a bucket of our stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from scones_ml.aws.endpoint_logs import delete_logs, has_logs, log_group
from scones_ml.aws.objects import delete_objects, has_objects
from scones_ml.aws.resources import MOVING, PROJECT, RUNNING, Resources, status_of
from scones_ml.aws.stacks import Stacks
from scones_ml.cost.prices import alarm_hourly_price, hourly_price
from scones_ml.errors import ConfigurationError, DeploymentError, TransientServiceError
from scones_ml.events import parse_uri
from scones_ml.plans import Action, Change, Ledger, Resource, Run
from scones_ml.sagemaker.resource_kinds import KINDS, removal_permission

__all__ = ["AwsInventory"]

_ORDER: Final = (
    *("scaling policy", "scaling target", "endpoint", "endpoint config", "model", "alarm"),
    *("transform job", "training job"),
)
"""What depends on others goes first."""
_JOBS: Final = ("training job", "transform job")
_BUSY: Final = ("ConflictException", "ResourceInUse")
"""SageMaker's codes for "not while something else goes on", beside those that are transient in any case."""


class AwsInventory:
    """Resources of one account and region.

    Args:
        place_name: ``"aws:REGION"``.
        ledger: of the workspace.
        run: that removes.
        stack: name of the CloudFormation stack that may be ours.
        resources: makes AWS's calls; none is made before it is needed.
    """

    def __init__(self, place_name: str, ledger: Ledger, run: Run, stack: str, resources: Resources) -> None:
        self._place, self._ledger, self._run = place_name, ledger, run
        self._region = place_name.removeprefix("aws:")
        self._stack, self._aws, self._stacks = stack, resources, Stacks(resources)
        self._logs_since: dict[str, datetime] = {}

    def resources(self, everything: bool = False) -> Sequence[Resource]:
        """See :meth:`scones_ml.ports.Inventory.resources`; without ``everything`` AWS is not asked."""
        lifetimes = [(one, deleted) for one, deleted in self._ledger.lifetimes() if one.place == self._place]
        found = [one for one, deleted in reversed(lifetimes) if deleted is None]
        found += [one for one in self._logs(lifetimes) if _identity(one) not in set(map(_identity, found))]
        if everything:
            known = set(map(_identity, found))
            found += [one for one in self._tagged() if _identity(one) not in known]
        return sorted(found, key=lambda one: one.kind in ("object", "objects"))  # models load them

    def plan_removal(self, resource: Resource) -> Change:
        """See :meth:`scones_ml.ports.Inventory.plan_removal`."""
        why = f"of run {resource.run}" if resource.run else "bears our tag"
        action: Action = "stop" if resource.kind in _JOBS else "delete"
        permission = removal_permission(resource.kind)
        return Change(action, resource.kind, resource.name, why, permission, resource.dollars_per_hour)

    def remove(self, change: Change) -> None:
        """See :meth:`scones_ml.ports.Inventory.remove`; refused for now is also what AWS is still busy with."""
        with _refused_for_now():
            if change.kind in ("object", "objects"):
                self._empty(change.name)
            elif change.kind == "log group":
                delete_logs(self._aws, change.name, self._since(change.name))
            elif change.kind == "stack":
                self._stacks.remove(change.name)
            elif change.kind in KINDS:
                self._remove(change)
            else:
                raise DeploymentError(f"cleanup knows no {change.kind}: remove it by hand")

    def is_there(self, change: Change) -> bool:
        """See :meth:`scones_ml.ports.Inventory.is_there`."""
        if change.kind in ("object", "objects"):
            return has_objects(self._aws, change.name)
        if change.kind == "log group":
            return has_logs(self._aws, change.name, self._since(change.name))
        if change.kind == "stack":
            return self._stacks.find(change.name) is not None
        if change.kind not in KINDS:
            return True
        found = self._aws.find(change.kind, change.name)
        if found is None or (change.kind in _JOBS and status_of(found) not in RUNNING):
            return False
        return self._aws.is_ours(change.kind, change.name, found)

    def _remove(self, change: Change) -> None:
        found = self._aws.find(change.kind, change.name)
        if found is None or not self._aws.is_ours(change.kind, change.name, found):
            return
        what, status = f"{change.kind} {change.name}", status_of(found)
        if change.kind in _JOBS and status not in RUNNING:
            return
        if status in MOVING or status == "Stopping":
            raise TransientServiceError(f"{what} is {status}: AWS removes none before that has ended")
        try:
            self._aws.perform(change, self._run)
        except ConfigurationError as exc:
            if status_of(self._aws.find(change.kind, change.name)) != status:  # it began to change meanwhile
                raise TransientServiceError(str(exc), code=exc.code) from exc
            raise
        if change.kind in ("endpoint", *_JOBS) and self.is_there(change):
            raise TransientServiceError(f"{what} is about to go")

    def _empty(self, uri: str) -> None:
        if not parse_uri(uri)[1]:
            raise DeploymentError(f"{uri} is a whole bucket: only that of a stack is emptied")
        if model := self._model_that_loads(uri):
            raise DeploymentError(f"{uri} stays, for model {model} loads it")
        delete_objects(self._aws, uri)

    def _model_that_loads(self, uri: str) -> str | None:
        """A model, whosever it is, whose endpoint needs an object to start one more machine: packages are shared."""
        for name in self._aws.names("model"):
            container = (self._aws.find("model", name) or {}).get("PrimaryContainer", {})
            loaded = str(container.get("ModelDataUrl", ""))
            if loaded == uri or (uri.endswith("/") and loaded.startswith(uri)):
                return name
        return None

    def _logs(self, lifetimes: Iterable[tuple[Resource, datetime | None]]) -> Iterator[Resource]:
        """The log group of each endpoint that was ever on record, until it is itself on record as deleted."""
        removed, endpoints = dict[str, datetime](), dict[str, tuple[Resource, datetime | None]]()
        for one, deleted in lifetimes:
            if one.kind == "log group" and deleted:
                removed[one.name] = deleted
            elif one.kind == "endpoint":
                first = endpoints.get(one.name, (one, None))[0]
                endpoints[one.name] = replace(one, since=min(one.since, first.since)), deleted
        for name, (one, deleted) in endpoints.items():
            group = log_group(name)
            if deleted is None or group not in removed or removed[group] < deleted:
                yield self._logs_of(one)

    def _since(self, group: str) -> datetime:
        """When the endpoint of a log group was made; what is older is not ours, and all is when nobody knows."""
        return self._logs_since.get(group, datetime.now(UTC))

    def _logs_of(self, endpoint: Resource) -> Resource:
        group = log_group(endpoint.name)
        self._logs_since[group] = endpoint.since
        return replace(endpoint, kind="log group", name=group, dollars_per_hour=0.0)

    def _tagged(self) -> Iterator[Resource]:
        for kind in _ORDER:
            for name in self._aws.names(kind):
                found = self._aws.find(kind, name)
                if found is None or (kind in _JOBS and status_of(found) not in RUNNING):
                    continue
                tags = self._aws.tags(kind, name, found)
                if tags.get("scones:project") == PROJECT:
                    resource = self._found(kind, name, found, tags)
                    yield resource
                    if kind == "endpoint":
                        yield self._logs_of(resource)
        stack = self._stacks.find(self._stack)
        if stack is not None:
            yield self._found("stack", self._stack, stack, {})

    def _found(self, kind: str, name: str, found: Mapping[str, Any], tags: Mapping[str, str]) -> Resource:
        expires = tags.get("scones:expires")
        return Resource(
            place=self._place,
            kind=kind,
            name=name,
            run=tags.get("scones:run", ""),
            state="created",
            since=found.get("CreationTime", datetime.now(UTC)),
            dollars_per_hour=self._dollars_per_hour(kind, name, found),
            expires=datetime.fromisoformat(expires) if expires else None,
        )

    def _dollars_per_hour(self, kind: str, name: str, found: Mapping[str, Any]) -> float | None:
        """At list price, idle; None where no price is known, or AWS does not say what there is."""
        try:
            if kind == "endpoint":
                return self._endpoint_price(found)
            if kind == "training job":
                machines = found["ResourceConfig"]
                return hourly_price(self._region, machines["InstanceType"], machines["InstanceCount"])
            if kind in ("alarm", "stack"):
                price = alarm_hourly_price(self._region)
                return None if price is None else price * (self._stacks.alarms(name) if kind == "stack" else 1)
        except (ConfigurationError, KeyError):
            return None
        return None if kind == "transform job" else 0.0

    def _endpoint_price(self, endpoint: Mapping[str, Any]) -> float | None:
        """Of all its machines; a serverless endpoint costs nothing while it waits."""
        config = self._aws.find("endpoint config", endpoint["EndpointConfigName"]) or {}
        total = 0.0
        for variant in config["ProductionVariants"]:
            if "InstanceType" in variant:
                price = hourly_price(self._region, variant["InstanceType"], variant["InitialInstanceCount"])
                if price is None:
                    return None
                total += price
        return total


def _identity(resource: Resource) -> tuple[str, str]:
    return resource.kind, resource.name


@contextmanager
def _refused_for_now() -> Iterator[None]:
    """AWS's code for "not while something else goes on" as the error that is tried again."""
    try:
        yield
    except ConfigurationError as exc:
        if exc.code in _BUSY:
            raise TransientServiceError(str(exc), code=exc.code) from exc
        raise
