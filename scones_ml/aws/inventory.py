"""Inventory of AWS: resources in the ledger and, on request, all with our tag; and their removal.

Anybody may have written the ledger, so nothing is removed before AWS's own data proves that it is ours, see
:mod:`scones_ml.aws.ownership`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from scones_ml.aws.endpoint_logs import log_group
from scones_ml.aws.loading import LoadedObjects
from scones_ml.aws.log_groups import delete_logs, find_logs, tag_logs
from scones_ml.aws.objects import current_keys, delete_bucket, delete_objects, ours_since
from scones_ml.aws.orphans import Tagged, tagged_buckets_and_logs
from scones_ml.aws.ownership import JOBS, OBJECTS, OURS, Ownership, unproven
from scones_ml.aws.resources import MOVING, PROJECT, RUNNING, Resources, status_of, tags_of
from scones_ml.aws.stacks import Stacks, bucket_tags, describe_stack
from scones_ml.cost.prices import alarm_hourly_price, hourly_price
from scones_ml.errors import ConfigurationError, DeploymentError, SconesError, TransientServiceError
from scones_ml.events.readers import is_image_key
from scones_ml.plans import Action, Change, Ledger, Resource, Run
from scones_ml.ports import Leave, LeftAlone, leave_unsaid
from scones_ml.sagemaker.resource_kinds import KINDS, removal_permission

__all__ = ["AwsInventory"]

_ORDER: Final = (
    *("scaling policy", "scaling target", "endpoint", "endpoint config", "model", "alarm"),
    *("transform job", "training job"),
)
"""Order of removal: dependants first."""
_BUSY: Final = ("ConflictException", "ResourceInUse")
"""SageMaker's codes for conflicts with another operation, in addition to those that are always transient."""


class AwsInventory:
    """Resources of one account and region.

    Args:
        place_name: ``"aws:REGION"``.
        ledger: the workspace's ledger.
        run: run of the removal.
        stack: name of the CloudFormation stack that may be ours.
        resources: makes the calls to AWS, only when needed.
    """

    def __init__(self, place_name: str, ledger: Ledger, run: Run, stack: str, resources: Resources) -> None:
        self._place, self._ledger, self._run = place_name, ledger, run
        self._region = place_name.removeprefix("aws:")
        self._stack, self._aws, self._stacks = stack, resources, Stacks(resources)
        self._loaded = LoadedObjects(resources)
        self._ownership = Ownership(resources, self._stacks, self._runs)

    def resources(self, everything: bool = False, leave: Leave = leave_unsaid) -> Sequence[Resource]:
        """See :meth:`scones_ml.ports.Inventory.resources`; without ``everything`` no call is made.

        With it, a recorded resource that is gone or foreign has the state ``"deleted"``: only its record is closed.
        """
        found, self._ownership.of_any_run = self._recorded(), everything
        if everything:
            found = [one for recorded in found for one in self._looked_at(recorded, leave)]
            known = set(map(_identity, found))
            for look in (self._tagged, self._stack_of_ours, self._left_by_stacks):
                for one in look(leave):
                    if _identity(one) not in known:
                        known.add(_identity(one))
                        found.append(one)
        return sorted(found, key=_turn)

    def refusal(self) -> None:
        """See :meth:`scones_ml.ports.Inventory.refusal`; ownership is checked for each resource."""

    def takes(self, change: Change) -> Sequence[str] | None:
        """See :meth:`scones_ml.ports.Inventory.takes`."""
        look = self._ownership.look(change.kind, change.name)
        if look.objection or not look.there:
            return None
        buckets = self._stacks.emptied(change.name) if change.kind == "stack" else ()
        buckets = (change.name,) if change.kind == "bucket" else buckets
        return (change.name,) if change.kind in OBJECTS else tuple(f"s3://{bucket}/" for bucket in buckets)

    def count(self, uri: str) -> int:
        """See :meth:`scones_ml.ports.Inventory.count`; only names of images count."""
        return sum(map(is_image_key, current_keys(self._aws, uri)))

    def plan_removal(self, resource: Resource) -> Change:
        """See :meth:`scones_ml.ports.Inventory.plan_removal`."""
        why = f"of run {resource.run}" if resource.run else "has our tag"
        if resource.state == "deleted":
            why = "gone, or not ours: only its record is closed"
        action: Action = "stop" if resource.kind in JOBS else "delete"
        permission = removal_permission(resource.kind)
        return Change(action, resource.kind, resource.name, why, permission, resource.dollars_per_hour)

    def remove(self, change: Change) -> LeftAlone | None:
        """See :meth:`scones_ml.ports.Inventory.remove`; a conflict with another operation is transient, too."""
        with _refused_for_now():
            look = self._ownership.look(change.kind, change.name)
            if look.foreign:
                return LeftAlone(change.kind, change.name, look.objection, foreign=True)
            if look.objection:
                raise DeploymentError(look.objection)
            if look.there:
                self._remove(change, look.found)
        return None

    def is_there(self, change: Change) -> bool:
        """See :meth:`scones_ml.ports.Inventory.is_there`; a resource that may be ours counts."""
        look = self._ownership.look(change.kind, change.name)
        return look.there and not look.foreign

    def _remove(self, change: Change, found: Mapping[str, Any]) -> None:
        """Remove a resource of ours."""
        if change.kind in OBJECTS:
            self._delete_objects(change.name)
        elif change.kind == "log group":
            delete_logs(self._aws, change.name)
        elif change.kind == "stack":
            self._stacks.remove(change.name)
        elif change.kind == "bucket":
            delete_bucket(self._aws, change.name)
        else:
            self._remove_by_table(change, found)

    def _remove_by_table(self, change: Change, found: Mapping[str, Any]) -> None:
        what, status = f"{change.kind} {change.name}", status_of(found)
        if status in MOVING or status == "Stopping":
            raise TransientServiceError(f"{what} is {status}: AWS removes it only after that")
        if change.kind == "endpoint":
            self._keep_proof_of_logs(change.name, found)
        try:
            self._aws.perform(change, self._run)
        except ConfigurationError as exc:
            if status_of(self._aws.find(change.kind, change.name)) != status:  # a change has begun meanwhile
                raise TransientServiceError(str(exc), code=exc.code) from exc
            raise
        if change.kind in ("endpoint", *JOBS) and self.is_there(change):
            raise TransientServiceError(f"{what} is being deleted")

    def _keep_proof_of_logs(self, endpoint: str, found: Mapping[str, Any]) -> None:
        """Tag the log group of an endpoint before its removal, so that the next clean-up finds it if this one is
        killed.
        """
        with suppress(SconesError):  # the endpoint costs more than its log
            tag_logs(self._aws, endpoint, found, tags_of(self._run))

    def _delete_objects(self, uri: str) -> None:
        if model := self._loaded.model(uri):
            raise DeploymentError(f"{uri} is kept, because model {model} loads it")
        if since := ours_since(self._aws, uri):
            delete_objects(self._aws, uri, since)

    def _recorded(self) -> list[Resource]:
        """Recorded resources that are not deleted, newest first, and the log groups of all recorded endpoints."""
        lifetimes = [(one, deleted) for one, deleted in self._ledger.lifetimes() if one.place == self._place]
        found = [one for one, deleted in reversed(lifetimes) if deleted is None]
        removed = {one.name: deleted for one, deleted in lifetimes if one.kind == "log group" and deleted}
        endpoints = {one.name: (one, deleted) for one, deleted in lifetimes if one.kind == "endpoint"}
        known = set(map(_identity, found))
        for name, (one, deleted) in endpoints.items():
            group = log_group(name)
            owed = deleted is None or group not in removed or removed[group] < deleted
            if owed and ("log group", group) not in known:
                found.append(_logs_of(one))
        return found

    def _looked_at(self, recorded: Resource, leave: Leave) -> Iterator[Resource]:
        """Look up a recorded resource on AWS and report one that is left alone."""
        kind, name = _identity(recorded)
        try:
            look = self._ownership.look(kind, name)
        except SconesError as exc:
            leave(LeftAlone(kind, name, _unseen(exc)))
            return
        if look.objection:
            leave(LeftAlone(kind, name, look.objection, look.foreign))
        if look.foreign or not look.there:
            yield replace(recorded, state="deleted", dollars_per_hour=0.0)
        elif not look.objection:
            yield recorded

    def _tagged(self, leave: Leave) -> Iterator[Resource]:
        for kind in _ORDER:
            try:
                names = list(self._aws.names(kind))
            except SconesError as exc:
                leave(LeftAlone(kind, f"all in {self._region}", _unseen(exc)))
                continue
            for name in names:
                try:
                    found = self._tagged_one(kind, name)
                except SconesError as exc:
                    leave(LeftAlone(kind, name, _unseen(exc)))
                    continue
                if found:
                    yield found
                    if kind == "endpoint":
                        logs = self._looked_at(_logs_of(found), leave)
                        yield from (one for one in logs if one.state != "deleted")

    def _tagged_one(self, kind: str, name: str) -> Resource | None:
        found = self._aws.find(kind, name)
        if found is None or (kind in JOBS and status_of(found) not in RUNNING):
            return None
        tags = self._aws.tags(kind, name, found)
        ours = self._ownership.look_at_tags(tags, name, str(found.get(KINDS[kind].arn, ""))) == OURS
        return self._found(kind, name, found, tags) if ours else None

    def _stack_of_ours(self, leave: Leave) -> Iterator[Resource]:
        try:
            found = describe_stack(self._aws, self._stack)
            look = self._ownership.look_at_stack(found)
            if found and look == OURS:
                yield self._found("stack", self._stack, found, {})
            elif look.objection:
                leave(LeftAlone("stack", self._stack, look.objection, look.foreign))
        except SconesError as exc:
            leave(LeftAlone("stack", self._stack, _unseen(exc)))

    def _left_by_stacks(self, leave: Leave) -> Iterator[Resource]:
        """Log groups and buckets of deleted stacks; those without proof are only named."""
        try:
            tagged = list(tagged_buckets_and_logs(self._aws))
        except SconesError as exc:
            leave(LeftAlone("bucket", "of stacks that are gone", _unseen(exc)))
            return
        for one in tagged:
            try:
                if self._is_left_by_a_stack(one):
                    yield from self._left(one, leave)
            except SconesError as exc:
                leave(LeftAlone(one.kind, one.name, _unseen(exc)))

    def _left(self, one: Tagged, leave: Leave) -> Iterator[Resource]:
        """A resource that a stack left, if we may remove it."""
        logs = one.kind == "log group"
        if one.tags["scones:project"] == PROJECT if logs else self._ownership.look("bucket", one.name) == OURS:
            yield self._found(one.kind, one.name, {}, one.tags)
        else:
            remove = "logs delete-log-group --log-group-name " if logs else "s3 rb --force s3://"
            leave(LeftAlone(one.kind, one.name, unproven(f"{remove}{one.name}")))

    def _runs(self) -> set[str]:
        """Ids of this workspace's runs."""
        return {self._run.id, *(entry.run for entry in self._ledger.entries())}

    def _is_left_by_a_stack(self, one: Tagged) -> bool:
        ours = one.tags["scones:project"] == PROJECT or one.tags.get("aws:cloudformation:stack-name") == self._stack
        if not ours or self._stacks.owner(one.tags, [one.name]):
            return False
        return bool(find_logs(self._aws, one.name) if one.kind == "log group" else bucket_tags(self._aws, one.name))

    def _found(self, kind: str, name: str, found: Mapping[str, Any], tags: Mapping[str, str]) -> Resource:
        return Resource(
            place=self._place,
            kind=kind,
            name=name,
            run=tags.get("scones:run", ""),
            state="created",
            since=found.get("CreationTime", datetime.now(UTC)),
            dollars_per_hour=self._dollars_per_hour(kind, name, found),
            expires=_time(tags.get("scones:expires", "")),
        )

    def _dollars_per_hour(self, kind: str, name: str, found: Mapping[str, Any]) -> float | None:
        """List price while idle; None when the price or the configuration is unknown."""
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
        """Price of all its instances; 0 for a serverless endpoint, which costs nothing while idle."""
        config = self._aws.find("endpoint config", endpoint["EndpointConfigName"]) or {}
        total = 0.0
        for variant in config["ProductionVariants"]:
            if "InstanceType" in variant:
                price = hourly_price(self._region, variant["InstanceType"], variant["InitialInstanceCount"])
                if price is None:
                    return None
                total += price
        return total


def _logs_of(endpoint: Resource) -> Resource:
    return replace(endpoint, kind="log group", name=log_group(endpoint.name), dollars_per_hour=0.0)


def _time(text: str) -> datetime | None:
    """Time in our tag; None when the tag was altered."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _unseen(exc: SconesError) -> str:
    return f"could not be inspected: {exc}"


def _turn(resource: Resource) -> int:
    """Position in the removal: first resources whose owner is known by their endpoint, last the objects of models."""
    return -1 if resource.kind in KINDS and KINDS[resource.kind].owner else int(resource.kind in (*OBJECTS, "bucket"))


def _identity(resource: Resource) -> tuple[str, str]:
    return resource.kind, resource.name


@contextmanager
def _refused_for_now() -> Iterator[None]:
    """Raise TransientServiceError for AWS's codes for a conflict with another operation."""
    try:
        yield
    except ConfigurationError as exc:
        if exc.code in _BUSY:
            raise TransientServiceError(str(exc), code=exc.code) from exc
        raise
