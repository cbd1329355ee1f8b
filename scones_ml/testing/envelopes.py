"""Envelopes of SNS and SQS around any event, as functions receive them."""

from __future__ import annotations

import json

__all__ = ["sns_event", "sns_message", "sqs_event"]

_TOPIC = "arn:aws:sns:us-east-1:111122223333:images"
_QUEUE = "arn:aws:sqs:us-east-1:111122223333:images"


def sns_message(event: object) -> dict[str, object]:
    """The message that an SNS topic sends to a queue for an event; with raw delivery it is the event itself.

    Args:
        event: a JSON document.
    """
    return {
        "Type": "Notification",
        "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": _TOPIC,
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(event),
        "Timestamp": "2026-11-12T00:00:00.000Z",
    }


def sns_event(event: object) -> dict[str, object]:
    """The event that Lambda receives from an SNS topic.

    Args:
        event: a JSON document.
    """
    subscription = f"{_TOPIC}:2bcfbf39-05c3-41de-beaa-fcfcc21c8f55"
    record = {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription}
    return {"Records": [{**record, "Sns": sns_message(event)}]}


def sqs_event(*bodies: object) -> dict[str, object]:
    """The event that Lambda receives from a queue, one message per body; Pipes sends its ``Records`` as a list.

    Args:
        bodies: JSON documents; strings are used as they are. The messages' ids end in their numbers, from 1.
    """
    return {"Records": [_message(number, body) for number, body in enumerate(bodies, 1)]}


def _message(number: int, body: object) -> dict[str, object]:
    return {
        "messageId": f"00000000-0000-4000-8000-{number:012}",
        "receiptHandle": "MessageReceiptHandle",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": _QUEUE,
        "awsRegion": "us-east-1",
    }
