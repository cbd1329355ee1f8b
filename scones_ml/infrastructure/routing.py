"""Triggers of executions, and destinations of failures: EventBridge rules, dead-letter queue, alarm topic."""

from __future__ import annotations

from scones_ml.infrastructure.intrinsics import Value, get_att, ref, sub
from scones_ml.infrastructure.parameters import TemplateSettings
from scones_ml.limits import EVENT_RETRIES, EVENT_RETRY_SECONDS, QUEUE_RETENTION_SECONDS

__all__ = ["resources"]

_RETRY_POLICY = {"MaximumEventAgeInSeconds": EVENT_RETRY_SECONDS, "MaximumRetryAttempts": EVENT_RETRIES}


def resources(settings: TemplateSettings) -> dict[str, Value]:
    """Rules, queue and topic.

    A failed execution of a STANDARD machine goes to the queue and to the topic. EXPRESS state machines emit no such
    event: their failures are in the log and the alarms.
    """
    single = (ref("ImageClassification"),) if settings.workflow_type == "STANDARD" else ()
    return {
        "ImageCreatedRule": _image_created(settings),
        "ExecutionFailedRule": _execution_failed([*single, ref("BatchClassification")]),
        "DeadLetterQueue": {
            "Type": "AWS::SQS::Queue",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {"MessageRetentionPeriod": QUEUE_RETENTION_SECONDS, "SqsManagedSseEnabled": True},
        },
        "EndpointExpiry": _endpoint_expiry(),
        "AlarmTopic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "scones alarms"}},
        "AlarmSubscription": {
            "Type": "AWS::SNS::Subscription",
            "Condition": "TellsSomebody",
            "Properties": {"TopicArn": ref("AlarmTopic"), "Protocol": "email", "Endpoint": ref("AlarmEmail")},
        },
    }


def _image_created(settings: TemplateSettings) -> Value:
    """The rule for new images: only a wildcard can match prefix and suffix of a key at once."""
    suffixes = [spelled for suffix in settings.suffixes for spelled in (suffix, suffix.upper())]
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": "An image arrived: start an execution",
            "EventPattern": {
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [ref("InputBucket")]},
                    "object": {"key": [{"wildcard": sub(f"${{InputPrefix}}*{suffix}")} for suffix in suffixes]},
                },
            },
            "Targets": [
                {
                    "Id": "StartExecution",
                    "Arn": ref("ImageClassification"),
                    "RoleArn": get_att("ImageCreatedRole"),
                    "DeadLetterConfig": {"Arn": get_att("DeadLetterQueue")},
                    "RetryPolicy": _RETRY_POLICY,
                }
            ],
        },
    }


def _endpoint_expiry() -> Value:
    """A schedule with one call of DeleteEndpoint; retried while the endpoint is being updated."""
    return {
        "Type": "AWS::Scheduler::Schedule",
        "Condition": "ExpiresEndpoint",
        "Properties": {
            "Description": "The endpoint has expired: delete it",
            "ScheduleExpression": sub("at(${EndpointExpires})"),
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": sub("arn:${AWS::Partition}:scheduler:::aws-sdk:sagemaker:deleteEndpoint"),
                "RoleArn": get_att("EndpointExpiryRole"),
                "Input": sub('{"EndpointName": "${EndpointName}"}'),
                "DeadLetterConfig": {"Arn": get_att("DeadLetterQueue")},
                "RetryPolicy": _RETRY_POLICY,
            },
        },
    }


def _execution_failed(machines: list[Value]) -> Value:
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": "An execution failed: keep the event, and notify people",
            "EventPattern": {
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {
                    "stateMachineArn": machines,
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            },
            "Targets": [
                {"Id": "KeepFailure", "Arn": get_att("DeadLetterQueue")},  # it is the dead-letter queue
                {
                    "Id": "TellFailure",
                    "Arn": ref("AlarmTopic"),
                    "DeadLetterConfig": {"Arn": get_att("DeadLetterQueue")},
                },
            ],
        },
    }
