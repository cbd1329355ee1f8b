"""Checks of an AWS account: identity, permissions, quotas and idle endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, Final

from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.resources import Resources
from scones_ml.errors import ConfigurationError, SconesError
from scones_ml.infrastructure.definitions import machines
from scones_ml.infrastructure.functions import reserved_concurrency
from scones_ml.infrastructure.parameters import RESERVED_CONCURRENCY, TemplateSettings
from scones_ml.limits import LAMBDA_UNRESERVED_CONCURRENCY
from scones_ml.plans import Change, Plan
from scones_ml.ports import Check, RealTime
from scones_ml.sagemaker.training_job import Compute

__all__ = ["account_checks", "idle_endpoints"]

_DAY: Final = timedelta(days=1)  # idle time that is worth a warning; one period of GetMetricStatistics

_READING: Final[Mapping[str, tuple[str, ...]]] = {
    "stage": ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
    "train": (
        *("sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:AddTags", "iam:PassRole"),
        *("logs:DescribeLogStreams", "logs:GetLogEvents"),
    ),
    "run": ("states:StartExecution", "states:DescribeExecution"),
    "deploy": (
        *("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel"),
        *("sagemaker:ListEndpointConfigs", "sagemaker:ListModels", "sagemaker:ListTags", "sagemaker:AddTags"),
        *("sagemaker:UpdateEndpoint", "sagemaker:DeleteTags", "iam:PassRole"),
        *("cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:TagResource"),
        *("application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies"),
        "application-autoscaling:TagResource",
    ),
    "cleanup": (
        *("s3:ListBucketVersions", "s3:GetObject", "s3:GetBucketTagging", "sagemaker:StopTrainingJob"),
        *("logs:DescribeLogGroups", "logs:ListTagsForResource", "logs:TagResource", "logs:DeleteLogGroup"),
        *("sagemaker:ListEndpoints", "sagemaker:ListTrainingJobs", "tag:GetResources"),
        *("cloudformation:DescribeStacks", "cloudformation:DescribeStackResources"),
    ),
}
"""Permissions that commands need in addition to those in their plans."""


def account_checks(environment: AwsEnvironment, aws: Resources, plans: Iterable[Plan]) -> Iterator[Check]:
    """Check credentials, region, role, permissions, quotas, versions and idle endpoints; a failed check is an error.

    Args:
        environment: region, buckets, role and state machine.
        aws: makes the calls.
        plans: plans whose permissions are checked.
    """
    yield Check("boto3", "ok", version("boto3"))
    try:
        caller = aws.call("sts", "GetCallerIdentity", {}, "credentials")
        yield Check("credentials", "ok", f"{caller['Arn']} in {environment.region}")
    except SconesError as exc:
        # Without credentials every other check would only fail the same way.
        yield Check("credentials", "error", str(exc), "aws configure, or AWS_PROFILE; docs/deploy.md")
        return
    yield from _asked("bucket and role", lambda: _bucket_and_role(environment))
    yield from _asked("permissions", lambda: _permissions(str(caller["Arn"]), environment, aws, plans))
    yield from _asked("quotas of SageMaker", lambda: _quotas(aws))
    yield from _asked("quota of Lambda", lambda: _concurrency(aws))
    yield from _asked("idle endpoints", lambda: idle_endpoints(aws, datetime.now(UTC)))


def _asked(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Findings, or a warning when AWS does not answer, which by itself breaks nothing."""
    try:
        yield from look()
    except SconesError as exc:
        yield Check(name, "warning", f"cannot be checked: {exc}", "allow the named action, or ignore this")


def _bucket_and_role(environment: AwsEnvironment) -> Iterator[Check]:
    try:
        yield Check("bucket and role", "ok", f"{environment.root}, {environment.role}")
    except ConfigurationError as exc:
        yield Check("bucket and role", "error", str(exc), "SCONES_BUCKET and SCONES_ROLE, or the stack; docs/deploy.md")


def _permissions(caller: str, environment: AwsEnvironment, aws: Resources, plans: Iterable[Plan]) -> Iterator[Check]:
    """Simulate every permission of every plan on the resources that it names."""
    principal = _principal(caller, aws)
    if principal.endswith(":root"):
        yield Check("permissions", "warning", "root may do everything", "use a role with fewer permissions")
        return
    for verb, wanted in _wanted(environment, caller, plans).items():
        denied: list[str] = []
        for resource, actions in wanted.items():
            request = {"PolicySourceArn": principal, "ActionNames": sorted(actions), "ResourceArns": [resource]}
            answer = aws.call("iam", "SimulatePrincipalPolicy", request, "permissions")
            results = answer["EvaluationResults"]
            denied += [found["EvalActionName"] for found in results if found["EvalDecision"] != "allowed"]
        count = sum(map(len, wanted.values()))
        if denied:
            yield Check(
                f"permissions to {verb}",
                "error",
                f"{len(denied)} of {count} are missing: {', '.join(sorted(denied))}",
                f"allow them for {principal}",
            )
        else:
            yield Check(f"permissions to {verb}", "ok", f"all {count}")


def _principal(caller: str, aws: Resources) -> str:
    """The role behind a session: only roles, users and groups have policies."""
    if ":assumed-role/" not in caller:
        return caller
    role = caller.split("/")[1]
    return str(aws.call("iam", "GetRole", {"RoleName": role}, f"role {role}")["Role"]["Arn"])


def _wanted(environment: AwsEnvironment, caller: str, plans: Iterable[Plan]) -> dict[str, dict[str, set[str]]]:
    """Required actions, by command and resource ARN."""
    partition, account = caller.split(":")[1], caller.split(":")[4]

    def arn_of(action: str, change: Change | None = None) -> str:
        service = action.partition(":")[0]
        if service == "s3":
            bucket = f"arn:{partition}:s3:::{environment.bucket}"
            prefix = f"{environment.prefix}/" if environment.prefix else ""
            return bucket if "Bucket" in action else f"{bucket}/{prefix}scones"
        if action == "iam:PassRole":
            return environment.role
        if service == "states":
            return environment.state_machine
        if service == "sagemaker" and change:
            kind = change.kind.replace(" ", "-")
            return f"arn:{partition}:sagemaker:{environment.region}:{account}:{kind}/{change.name}"
        return "*"

    wanted: dict[str, dict[str, set[str]]] = {}
    for verb, actions in _READING.items():
        for action in actions:
            try:
                wanted.setdefault(verb, {}).setdefault(arn_of(action), set()).add(action)
            except ConfigurationError:  # a state machine that does not exist yet
                continue
    for plan in plans:
        for change in plan.changes:
            arn = arn_of(change.permission, change)
            wanted.setdefault(plan.verb, {}).setdefault(arn, set()).add(change.permission)
    return wanted


def _quotas(aws: Resources) -> Iterator[Check]:
    wanted = {
        f"{RealTime().instance_type} for endpoint usage": 1.0,
        f"{Compute().instance_type} for training job usage": 1.0,
    }
    request: dict[str, object] = {"ServiceCode": "sagemaker"}
    granted: dict[str, float] = {}
    while True:
        answer = aws.call("service-quotas", "ListServiceQuotas", request, "quotas of SageMaker")
        granted |= {quota["QuotaName"]: quota["Value"] for quota in answer["Quotas"]}
        if not answer.get("NextToken"):
            break
        request["NextToken"] = answer["NextToken"]
    for name, least in wanted.items():
        value = granted.get(name)
        if value is None:
            yield Check(f"quota {name}", "warning", "AWS lists none", "look it up in Service Quotas")
        elif value < least:
            yield Check(f"quota {name}", "error", f"{value:g}", "request a higher one in Service Quotas")
        else:
            yield Check(f"quota {name}", "ok", f"{value:g}")


def _concurrency(aws: Resources) -> Iterator[Check]:
    most = aws.call("lambda", "GetAccountSettings", {}, "quota of Lambda")["AccountLimit"]["ConcurrentExecutions"]
    reserved = reserved_concurrency(machines(TemplateSettings()), RESERVED_CONCURRENCY)
    needed = reserved + LAMBDA_UNRESERVED_CONCURRENCY
    if most < needed:
        yield Check(
            "quota of Lambda",
            "warning",
            f"{most} functions at a time, and the stack reserves {reserved} of {needed}",
            "deploy with ReservedConcurrency=0, or request more in Service Quotas",
        )
    else:
        yield Check("quota of Lambda", "ok", f"{most:,} functions at a time")


def idle_endpoints(aws: Resources, now: datetime) -> Iterator[Check]:
    """Our endpoints on instances without a request for a day.

    Args:
        aws: makes the calls.
        now: with its time zone.
    """
    count = 0
    for name in aws.names("endpoint"):
        found = aws.find("endpoint", name)
        if found is None or not aws.is_ours("endpoint", name, found):
            continue
        count += 1
        if now - found["CreationTime"] > _DAY and not _invocations(aws, name, found, now):
            yield Check(
                f"endpoint {name}",
                "warning",
                "idle for a day",
                "scones cleanup --on aws, or deploy a serverless one",
            )
    yield Check("endpoints", "ok", f"{count} of ours")


def _invocations(aws: Resources, name: str, found: Mapping[str, Any], now: datetime) -> float:
    total = 0.0
    for variant in found.get("ProductionVariants", ()):
        dimensions = {"EndpointName": name, "VariantName": variant["VariantName"]}
        request = {
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocations",
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "StartTime": now - _DAY,
            "EndTime": now,
            "Period": int(_DAY.total_seconds()),
            "Statistics": ["Sum"],
        }
        answer = aws.call("cloudwatch", "GetMetricStatistics", request, f"endpoint {name}")
        total += sum(point["Sum"] for point in answer["Datapoints"])
    return total
