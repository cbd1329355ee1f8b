"""IAM roles and resource policies, with reasons, derived from the definitions and the handlers.

A function's role follows from what its handler uses (:func:`scones_ml.workflows.handlers.handler_uses`), a state
machine's from its states. Every statement has a reason; one that is not restricted to our resources says why AWS has
nothing narrower. A test removes each action in turn and shows what breaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scones_ml import asl
from scones_ml.infrastructure.definitions import function_names
from scones_ml.infrastructure.grants import of_expiry, of_function, of_machine, of_map, of_sagemaker
from scones_ml.infrastructure.intrinsics import Value, get_att, ref, sub
from scones_ml.infrastructure.statements import Policy, Role, Statement, document

__all__ = ["policies", "resources", "roles"]

_RULES: Final = ("ImageCreatedRule", "ExecutionFailedRule")
_OUR_ACCOUNT: Final[Mapping[str, Value]] = {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}}


def roles(machines: Mapping[str, asl.StateMachine]) -> tuple[Role, ...]:
    """Roles of each function and state machine, of the rule that starts executions, of SageMaker and of the schedule.

    Args:
        machines: definitions by logical name.

    Raises:
        InvalidDefinitionError: no permission is known for a part of a definition.
    """
    names = dict.fromkeys(name for machine in machines.values() for name in function_names(machine))
    start = Statement(
        "StartExecutions",
        ("states:StartExecution",),
        (ref("ImageClassification"),),
        "EventBridge starts one execution for each image that arrives",
    )
    return (
        *(Role(f"{name}Role", "lambda.amazonaws.com", tuple(of_function(name))) for name in names),
        *(
            Role(f"{name}Role", "states.amazonaws.com", tuple(of_machine(machine)), tuple(of_map(name, machine)))
            for name, machine in machines.items()
        ),
        Role("ImageCreatedRole", "events.amazonaws.com", (start,)),
        Role("SageMakerRole", "sagemaker.amazonaws.com", tuple(of_sagemaker())),
        Role("EndpointExpiryRole", "scheduler.amazonaws.com", tuple(of_expiry()), when="ExpiresEndpoint"),
    )


def policies() -> tuple[Policy, ...]:
    """Resource policies: TLS for everybody; queue and topic for the services that report failures."""
    queue, topic = get_att("DeadLetterQueue"), ref("AlarmTopic")
    alarms = Statement(
        "TellAlarms",
        ("sns:Publish",),
        (topic,),
        "alarms notify people",
        principal="cloudwatch.amazonaws.com",
        condition=_OUR_ACCOUNT,
    )
    kept = _from_rules("sqs:SendMessage", queue, "undelivered events and failed executions are kept", _RULES)
    told = _from_rules("sns:Publish", topic, "failed executions notify people", _RULES[1:])
    return (
        *(
            Policy(f"{name}Policy", "AWS::S3::BucketPolicy", {"Bucket": ref(name)}, (_tls("s3:*", *_whole(name)),))
            for name in ("InputBucket", "OutputBucket")
        ),
        Policy(
            "DeadLetterQueuePolicy",
            "AWS::SQS::QueuePolicy",
            {"Queues": [ref("DeadLetterQueue")]},
            (kept, _tls("sqs:*", queue)),
        ),
        Policy(
            "AlarmTopicPolicy", "AWS::SNS::TopicPolicy", {"Topics": [topic]}, (told, alarms, _tls("sns:Publish", topic))
        ),
    )


def resources(machines: Mapping[str, asl.StateMachine]) -> dict[str, Value]:
    """Roles and policies as template resources; reasons for ``*`` are in the role's metadata."""
    found: dict[str, Value] = {}
    for role in roles(machines):
        found[role.name] = _role(role)
        if role.on_itself:
            found[role.name.removesuffix("Role") + "OnItself"] = {
                "Type": "AWS::IAM::Policy",
                "Properties": {
                    "PolicyName": "on-itself",
                    "PolicyDocument": document(role.on_itself),
                    "Roles": [ref(role.name)],
                },
            }
    for policy in policies():
        found[policy.name] = {
            "Type": policy.type,
            "Properties": {**policy.target, "PolicyDocument": document(policy.statements)},
        }
    return found


def _role(role: Role) -> Value:
    reasons = {statement.sid: statement.unrestricted for statement in role.statements if statement.unrestricted}
    found: dict[str, Value] = {"Type": "AWS::IAM::Role"}
    if role.when:
        found["Condition"] = role.when
    if reasons:
        found["Metadata"] = {"WhyAllResources": reasons}
    return found | {
        "Properties": {
            "AssumeRolePolicyDocument": _trust(role.service),
            "Policies": [{"PolicyName": "least-privilege", "PolicyDocument": document(role.statements)}],
        }
    }


def _trust(service: str) -> Value:
    """Restrict the trust to our account: no other account can make the service use the role."""
    statement: dict[str, Value] = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if service != "lambda.amazonaws.com":  # Lambda passes no source when it assumes a function's role
        statement["Condition"] = _OUR_ACCOUNT
    return {"Version": "2012-10-17", "Statement": [statement]}


def _whole(bucket: str) -> tuple[Value, Value]:
    return get_att(bucket), sub(f"${{{bucket}.Arn}}/*")


def _tls(action: str, *resources_: Value) -> Statement:
    return Statement(
        "RefusePlainHttp",
        (action,),
        resources_,
        "unencrypted requests are refused",
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
