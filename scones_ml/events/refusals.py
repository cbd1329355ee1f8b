"""Messages for events of other services, which start no execution, with the supported formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scones_ml.events.documents import field_names

__all__ = ["refusal", "service_event"]

_READ: Final = (
    "send an S3 notification, an EventBridge 'Object Created', either of them in SNS or SQS, "
    "s3_bucket and s3_key, or bucket and key"
)

_FIELDS: Final[Mapping[str, str]] = {  # each occurs in the events of only one service
    "invocationSchemaVersion": "an S3 Batch Operations task",
    "xAmzRequestId": "an S3 Object Lambda request",
    "requestPayload": "a Lambda destination's record",
    "methodArn": "an API Gateway authorizer's request",
    "routeArn": "an API Gateway authorizer's request",
    "actionGroup": "a Bedrock agent's request",
    "raw_path": "a VPC Lattice request",
    "httpMethod": "an API Gateway request (or a load balancer's)",
    "rawPath": "an API Gateway request (or a function URL's)",
    "requestContext": "an API's request (API Gateway, AppSync, VPC Lattice)",
    "alarmData": "a CloudWatch alarm",
    "AlarmName": "a CloudWatch alarm",
    "awslogs": "a CloudWatch Logs event",
    "deliveryStreamArn": "a Firehose batch",
    "triggerSource": "a Cognito trigger",
    "identityPoolId": "a Cognito Sync event",
    "dynamodb": "a DynamoDB stream record",
    "kinesis": "a Kinesis record",
    "kinesisSchemaVersion": "a Kinesis record",
    "ses": "an SES message",
    "cf": "a CloudFront request",
    "ResponseURL": "a CloudFormation custom resource request",
    "configRuleName": "an AWS Config event",
    "CodePipeline.job": "a CodePipeline job",
    "SecretId": "a Secrets Manager rotation",
    "SubscribeURL": "an SNS subscription's confirmation",
}
_RECORDS: Final[Mapping[str, str]] = {  # by eventSource
    "SelfManagedKafka": "a Kafka batch",
    "aws:SelfManagedKafka": "a Kafka batch",
    "aws:amq": "an Amazon MQ batch",
    "aws:codecommit": "a CodeCommit event",
    "aws:kafka": "a Kafka batch",
    "aws:mq": "an Amazon MQ batch",
    "aws:rmq": "an Amazon MQ batch",
    "aws:s3": "an S3 record without an object",
    "aws:sns": "an SNS record without a message",
    "aws:sqs": "an SQS message without a body",
}
_SERVICES: Final[Mapping[str, str]] = {  # by source
    "aws.autoscaling": "an EC2 Auto Scaling event",
    "aws.cloudwatch": "a CloudWatch event",
    "aws.ec2": "an EC2 event",
    "aws.ecs": "an ECS event",
    "aws.events": "a scheduled event",
    "aws.s3": "an S3 event",
    "aws.sagemaker": "a SageMaker event",
    "aws.scheduler": "a scheduled event",
    "aws.states": "a Step Functions event",
}


def service_event(event: Mapping[str, object]) -> str | None:
    """A description of another service's event: ``"an EC2 event ('EC2 Instance State-change Notification')"``.

    Returns:
        A noun phrase; None if the service is unknown.
    """
    for field, name in _FIELDS.items():
        if field in event:
            return name
    record, source, kind = event.get("eventSource"), event.get("source"), event.get("detail-type")
    if isinstance(record, str):
        return _RECORDS.get(record, f"a record of {record:.60}")
    if not isinstance(source, str):
        return None
    name = _SERVICES.get(source, f"an EventBridge event of {source:.60}")
    return f"{name} ('{kind:.80}')" if isinstance(kind, str) else name


def refusal(event: Mapping[str, object]) -> str:
    """A one-line message for an event of no known format: what it is, and what is supported."""
    name = service_event(event)
    return (
        f"{name} is not supported: {_READ}"
        if name
        else f"the event (its keys: {field_names(event)}) names no image: {_READ}"
    )
