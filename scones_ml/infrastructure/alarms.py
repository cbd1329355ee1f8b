"""CloudWatch alarms: failed, timed-out and throttled executions, the endpoint, the queue, and the share of reviews."""

from __future__ import annotations

from collections.abc import Mapping

from scones_ml.infrastructure.intrinsics import Value, get_att, ref

__all__ = ["CUSTOM_METRICS", "metrics", "resources"]

_PERIOD = 300  # seconds: several failures of one cause are one alarm, raised within minutes
_HOUR = 3600  # seconds: a share needs more images than arrive in five minutes
_LATENCY_LIMIT_MICROSECONDS = 1_000_000  # answers take milliseconds; InvokeEndpoint times out after 60 s
_LEAST_IMAGES = 20  # fewer images give no meaningful share: even 20 give one of +/- 22 percentage points
_NAMESPACE = "scones"

_ENDED_BADLY = {
    "ExecutionsFailed": "an execution failed; redrive it when the cause is fixed",
    "ExecutionsTimedOut": "an execution exceeded the state machine's timeout",
}
_EXECUTIONS = {
    "ImageClassification": _ENDED_BADLY
    | {"ExecutionThrottled": "more executions start than the account's quota allows; they are delayed, not lost"},
    "BatchClassification": _ENDED_BADLY,
}

CUSTOM_METRICS = 2  # Review and Confidence, see aws/observability.py
"""Number of our custom metrics; CloudWatch charges for a month in which they have data."""


def resources() -> dict[str, Value]:
    """Alarms by logical name; each notifies the alarm topic."""
    executions = {
        f"{machine}{metric}Alarm": _alarm(
            f"{machine}: {remedy}", "AWS/States", metric, {"StateMachineArn": ref(machine)}
        )
        for machine, watched in _EXECUTIONS.items()
        for metric, remedy in watched.items()
    }
    queue: dict[str, Value] = {"QueueName": get_att("DeadLetterQueue", "QueueName")}
    return {
        **executions,
        "DeadLetterAlarm": _alarm(
            "Something is in the dead-letter queue",
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            queue,
            {"Statistic": "Maximum"},
        ),
        **_endpoint(),
        **_review_rate(),
    }


def metrics(*, endpoint: bool) -> int:
    """Number of metrics that the alarms watch, which CloudWatch charges for.

    Args:
        endpoint: whether to include the endpoint's alarms.
    """
    left_out = () if endpoint else _endpoint()
    return sum(_watched(alarm) for name, alarm in resources().items() if name not in left_out)


def _watched(resource: Value) -> int:
    if not isinstance(resource, Mapping) or resource.get("Type") != "AWS::CloudWatch::Alarm":
        return 0
    properties = resource["Properties"]
    assert isinstance(properties, Mapping)  # noqa: S101 - by CloudFormation's own schema
    queries = properties.get("Metrics", ())
    assert isinstance(queries, list | tuple)  # noqa: S101
    return sum("MetricStat" in query for query in queries) or 1


def _alarm(
    description: str,
    namespace: str,
    metric: str,
    dimensions: Mapping[str, Value],
    properties: Mapping[str, Value] | None = None,
) -> dict[str, Value]:
    """Alarm above 0 in any five minutes, by default; missing data is not breaching."""
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            "Period": _PERIOD,
            "Threshold": 0,
            **(properties or {"Statistic": "Sum"}),
            **_COMMON,
        },
    }


_COMMON: Mapping[str, Value] = {
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "TreatMissingData": "notBreaching",  # no images is no problem
    "AlarmActions": [ref("AlarmTopic")],
    "OKActions": [ref("AlarmTopic")],
}


def _endpoint() -> dict[str, Value]:
    """Alarms on the endpoint, if there is one."""
    dimensions: dict[str, Value] = {"EndpointName": ref("EndpointName"), "VariantName": "AllTraffic"}
    found = {
        "EndpointRefusedAlarm": _alarm(
            "The endpoint refuses requests (4XX)", "AWS/SageMaker", "Invocation4XXErrors", dimensions
        ),
        "EndpointFailedAlarm": _alarm("The endpoint fails (5XX)", "AWS/SageMaker", "Invocation5XXErrors", dimensions),
        "EndpointLatencyAlarm": _alarm(
            "One image in a hundred takes the model longer than a second (microseconds)",
            "AWS/SageMaker",
            "ModelLatency",
            dimensions,
            {"ExtendedStatistic": "p99", "Threshold": _LATENCY_LIMIT_MICROSECONDS},
        ),
    }
    return {name: {"Condition": "UsesEndpoint", **alarm} for name, alarm in found.items()}


def _review_rate() -> dict[str, Value]:
    """Alarm on the share of images that go to review, from the metric of FilterLowConfidence.

    Hours with few images are ignored: a share of three images means nothing.
    """
    share: Value = {
        "Id": "share",
        "Label": "images that go to review, percent",
        "ReturnData": True,
        "Expression": f"IF(FILL(images, 0) >= {_LEAST_IMAGES}, 100 * FILL(reviews, 0) / images, 0)",
    }
    return {
        "ReviewRateAlarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmDescription": "More images than usual go to review: check them before the model continues",
                "Metrics": [_of_review("images", "SampleCount"), _of_review("reviews", "Sum"), share],
                "Threshold": ref("ReviewRatePercent"),
                **_COMMON,
            },
        }
    }


def _of_review(name: str, statistic: str) -> Value:
    dimensions: list[Value] = [{"Name": "service", "Value": ref("AWS::StackName")}]
    metric: Value = {"Namespace": _NAMESPACE, "MetricName": "Review", "Dimensions": dimensions}
    return {"Id": name, "ReturnData": False, "MetricStat": {"Metric": metric, "Period": _HOUR, "Stat": statistic}}
