"""Who may do what, and why: IAM roles and resource policies, derived from the definition and the handlers.

A function's role follows from what its handler uses (:func:`scones_ml.infrastructure.functions.handler_uses`), the
state machine's from the resources of its tasks. Every statement says what it is for; one that is not bound to a
resource of ours says why AWS has nothing narrower. A test takes each action away in turn and shows what breaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from scones_ml import asl
from scones_ml.errors import InvalidDefinitionError
from scones_ml.infrastructure.functions import function_names, handler_name, handler_uses, log_group
from scones_ml.infrastructure.intrinsics import NO_VALUE, Value, either, get_att, ref, sub
from scones_ml.infrastructure.parameters import TemplateSettings

__all__ = ["Policy", "Role", "Statement", "policies", "resources", "roles"]


@dataclass(frozen=True)
class Statement:
    """One permission.

    Attributes:
        sid: its name within the policy.
        actions: IAM actions, each by its full name.
        resources: ARNs as template values.
        why: what needs it.
        unrestricted: why ``*`` is the narrowest that AWS has; empty for statements that name resources.
        when: the template's condition under which it is there; empty for always.
        principal: in a resource policy, the service that it speaks of; empty in a role's, ``*`` for everybody.
        effect: Allow or Deny.
        condition: IAM's own condition.
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[Value, ...]
    why: str
    unrestricted: str = ""
    when: str = ""
    principal: str = ""
    effect: str = "Allow"
    condition: Mapping[str, Value] = field(default_factory=dict)

    def to_json(self) -> Value:
        """The statement as a template holds it."""
        found: dict[str, Value] = {"Sid": self.sid, "Effect": self.effect}
        if self.principal:
            found["Principal"] = "*" if self.principal == "*" else {"Service": self.principal}
        found |= {"Action": list(self.actions), "Resource": list(self.resources)}
        if self.condition:
            found["Condition"] = self.condition
        return either(self.when, found, NO_VALUE) if self.when else found


@dataclass(frozen=True)
class Role:
    """What one service may do for us.

    Attributes:
        name: its logical name in the template.
        service: who takes it on, ``"lambda.amazonaws.com"``.
        statements: what it may do.
    """

    name: str
    service: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Policy:
    """Who may use one of our resources.

    Attributes:
        name: its logical name in the template.
        type: CloudFormation's resource type.
        target: the property that names the resource, and its value.
        statements: who may do what with it.
    """

    name: str
    type: str
    target: Mapping[str, Value]
    statements: tuple[Statement, ...]


_MACHINE: Final = "ImageClassification"


def roles(machine: asl.StateMachine) -> tuple[Role, ...]:
    """The role of each function, of the state machine, and of the rule that starts it.

    Raises:
        InvalidDefinitionError: a Task's resource is one that no permission is known for.
    """
    functions = tuple(
        Role(f"{name}Role", "lambda.amazonaws.com", tuple(_function(name))) for name in function_names(machine)
    )
    start = Statement(
        "StartExecutions",
        ("states:StartExecution",),
        (ref(_MACHINE),),
        "EventBridge starts one execution for each picture that arrives",
    )
    return (
        *functions,
        Role(f"{_MACHINE}Role", "states.amazonaws.com", tuple(_machine(machine))),
        Role("ImageCreatedRole", "events.amazonaws.com", (start,)),
    )


def policies(settings: TemplateSettings) -> tuple[Policy, ...]:
    """Resource policies: TLS for everybody, the queue and the topic for those who report trouble."""
    # Only STANDARD machines tell of failures by events.
    failed = ("ExecutionFailedRule",) if settings.workflow_type == "STANDARD" else ()
    topic = (
        _from_rules("sns:Publish", ref("AlarmTopic"), "failed executions are told to people", failed),
        Statement(
            "TellAlarms",
            ("sns:Publish",),
            (ref("AlarmTopic"),),
            "alarms are told to people",
            principal="cloudwatch.amazonaws.com",
            condition={"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}},
        ),
        _tls("sns:Publish", ref("AlarmTopic")),
    )
    queue = get_att("DeadLetterQueue")
    return (
        *(
            Policy(f"{name}Policy", "AWS::S3::BucketPolicy", {"Bucket": ref(name)}, (_tls("s3:*", *_whole(name)),))
            for name in ("InputBucket", "OutputBucket")
        ),
        Policy(
            "DeadLetterQueuePolicy",
            "AWS::SQS::QueuePolicy",
            {"Queues": [ref("DeadLetterQueue")]},
            (
                _from_rules(
                    "sqs:SendMessage", queue, "undelivered events and failed executions", ("ImageCreatedRule", *failed)
                ),
                _tls("sqs:*", queue),
            ),
        ),
        Policy(
            "AlarmTopicPolicy",
            "AWS::SNS::TopicPolicy",
            {"Topics": [ref("AlarmTopic")]},
            topic if failed else topic[1:],
        ),
    )


def resources(machine: asl.StateMachine, settings: TemplateSettings) -> dict[str, Value]:
    """Roles and resource policies as a template holds them; reasons for ``*`` are in the role's metadata."""
    return {role.name: _role(role) for role in roles(machine)} | {
        policy.name: {
            "Type": policy.type,
            "Properties": {**policy.target, "PolicyDocument": _document(policy.statements)},
        }
        for policy in policies(settings)
    }


def _function(name: str) -> Iterator[Statement]:
    uses = handler_uses(handler_name(name))
    if "backends.read_object" in uses:
        yield Statement(
            "ReadPictures",
            ("s3:GetObject", "s3:GetObjectVersion"),
            (sub("${InputBucket.Arn}/${InputPrefix}*"),),
            "the handler reads the very version of the picture that the event names",
        )
        yield Statement(
            "TellGoneFromForbidden",
            ("s3:ListBucket",),
            (get_att("InputBucket"),),
            "S3 answers 404 for a picture that is gone, where it would say 403; the workflow drops only the former",
        )
    if "backends.classifier" in uses:
        yield Statement(
            "AskEndpoint",
            ("sagemaker:InvokeEndpoint",),
            (sub("arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint/${EndpointName}"),),
            "the endpoint classifies the picture",
            when="UsesEndpoint",
        )
        yield Statement(
            "ReadModel",
            ("s3:GetObject",),
            ({"Fn::Sub": ["arn:${AWS::Partition}:s3:::${ModelObject}", {"ModelObject": _model_path()}]},),
            "the function loads the model when it starts",
            when="UsesModelUri",
        )
    yield Statement(
        "WriteLogs",
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        (get_att(log_group(name)),),
        "Lambda writes the function's log",
    )
    yield _traces("the function's segments", _SEND_TRACES)


def _model_path() -> Value:
    """``bucket/key`` of ``s3://bucket/key``; split behind a second ``s3://``, so that there always is a part 1."""
    return {"Fn::Select": [1, {"Fn::Split": ["s3://", sub("${ModelUri}s3://")]}]}


def _machine(machine: asl.StateMachine) -> Iterator[Statement]:
    tasks = [state for state in machine.states.values() if isinstance(state, asl.Task)]
    functions = function_names(machine)
    yield Statement(
        "InvokeFunctions",
        ("lambda:InvokeFunction",),
        tuple(get_att(f"{name}Function") for name in functions),
        f"states {', '.join(functions)} invoke their functions",
    )
    yield from _writes(tasks)
    yield Statement(
        "DeliverLogs",
        (
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        ),
        ("*",),
        "Step Functions sets up the delivery of the execution log, and checks it at each update",
        unrestricted="CloudWatch Logs defines no resource type for log deliveries, and Step Functions asks for these "
        "actions on every resource",
    )
    yield _traces("the execution's segments, and says which to sample", (*_SAMPLE_TRACES, *_SEND_TRACES))


def _writes(tasks: list[asl.Task]) -> Iterator[Statement]:
    """What the tasks other than functions do."""
    prefixes = []
    for task in tasks:
        if task.resource == "arn:aws:states:::aws-sdk:s3:putObject":
            prefixes.append(_written(task))
        elif task.resource != "arn:aws:states:::lambda:invoke":
            raise InvalidDefinitionError(
                f"no permission is known for the resource {task.resource}: say in infrastructure/permissions.py "
                "what it needs"
            )
    if prefixes:
        yield Statement(
            "WriteOutcomes",
            ("s3:PutObject",),
            tuple(sub(f"${{{bucket}.Arn}}/{prefix}*") for bucket, prefix in dict.fromkeys(prefixes)),
            "one object for each picture: accepted, review or quarantined",
        )


def _written(task: asl.Task) -> tuple[str, str]:
    """Bucket and prefix that a putObject task writes to: what its key says before the first field."""
    parameters = task.parameters if isinstance(task.parameters, Mapping) else {}
    bucket = re.fullmatch(r"\$\{(\w+)Name\}", str(parameters.get("Bucket", "")))
    key = re.match(r"States\.Format\('([^'{]+/)", str(parameters.get("Key.$", "")))
    if bucket is None or key is None:
        raise InvalidDefinitionError(
            "a putObject task has to name its bucket as ${...BucketName} and its key as States.Format('prefix/...'), "
            "so that it can be allowed that prefix alone"
        )
    return bucket[1], key[1]


_SEND_TRACES: Final = ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
_SAMPLE_TRACES: Final = ("xray:GetSamplingRules", "xray:GetSamplingTargets")


def _traces(what: str, actions: tuple[str, ...]) -> Statement:
    return Statement(
        "SendTraces",
        actions,
        ("*",),
        f"X-Ray takes {what}",
        unrestricted="X-Ray defines no resource for segments and sampling",
        when="UsesTracing",
    )


def _whole(bucket: str) -> tuple[Value, Value]:
    return get_att(bucket), sub(f"${{{bucket}.Arn}}/*")


def _tls(action: str, *resources_: Value) -> Statement:
    return Statement(
        "RefusePlainHttp",
        (action,),
        resources_,
        "nothing travels unencrypted",
        principal="*",
        effect="Deny",
        condition={"Bool": {"aws:SecureTransport": "false"}},
    )


def _from_rules(action: str, resource: Value, why: str, rules: tuple[str, ...]) -> Statement:
    return Statement(
        "TakeFromRules",
        (action,),
        (resource,),
        why,
        principal="events.amazonaws.com",
        condition={"ArnEquals": {"aws:SourceArn": [get_att(rule) for rule in rules]}},
    )


def _role(role: Role) -> Value:
    reasons = {statement.sid: statement.unrestricted for statement in role.statements if statement.unrestricted}
    found: dict[str, Value] = {"Type": "AWS::IAM::Role"}
    if reasons:
        found["Metadata"] = {"WhyAllResources": reasons}
    return found | {
        "Properties": {
            "AssumeRolePolicyDocument": _trust(role.service),
            "Policies": [{"PolicyName": "least-privilege", "PolicyDocument": _document(role.statements)}],
        }
    }


def _trust(service: str) -> Value:
    """Only for our own account's sake: no other account can make the service use the role."""
    statement: dict[str, Value] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if service != "lambda.amazonaws.com":  # Lambda names no source when it takes on a function's role
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _document(statements: tuple[Statement, ...]) -> Value:
    return {"Version": "2012-10-17", "Statement": [statement.to_json() for statement in statements]}
