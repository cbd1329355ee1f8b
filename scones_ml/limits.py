"""AWS's fixed quotas, each with its source.

Read in November 2026; AWS raises none of them on request. Limits of our own choice (timeouts of tasks, retries,
connections, caps of the image policy) are defined where they are used.

Internal: may change without notice.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BUCKET_NAME",
    "DEFINITION_BYTES",
    "ENDPOINT_REQUEST_BYTES",
    "EVENT_RETRIES",
    "EVENT_RETRY_SECONDS",
    "EXPRESS_SECONDS",
    "HISTORY_EVENTS",
    "INLINE_MAP_CONCURRENCY",
    "INTRINSIC_STRING_CHARACTERS",
    "LAMBDA_SECONDS",
    "LAMBDA_UNRESERVED_CONCURRENCY",
    "LAMBDA_UNZIPPED_BYTES",
    "MAP_CONCURRENCY",
    "MAP_ITEMS",
    "MESSAGE_BYTES",
    "QUEUE_BATCH_MESSAGES",
    "QUEUE_RETENTION_SECONDS",
    "RANGE_ITEMS",
    "S3_KEY_BYTES",
    "S3_PAGE_KEYS",
    "SAGEMAKER_NAME",
    "SAGEMAKER_NAME_CHARACTERS",
    "SERVERLESS_CONCURRENCY",
    "SERVERLESS_MEMORY_MB",
    "SERVERLESS_REQUEST_BYTES",
    "STATE_BYTES",
    "STEP_FUNCTIONS_NAME_CHARACTERS",
    "TUNING_NAME_CHARACTERS",
]

# Step Functions: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html, unless noted.

STATE_BYTES: Final = 262_144
"""Bytes of UTF-8 in the input or output of a state, a task or an execution, in Standard and Express workflows."""

DEFINITION_BYTES: Final = 1_048_576
"""Bytes in a definition. https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html"""

EXPRESS_SECONDS: Final = 300
"""Duration of an Express execution."""

HISTORY_EVENTS: Final = 25_000
"""Events in the history of a Standard execution, which fails beyond that; Express workflows keep none."""

STEP_FUNCTIONS_NAME_CHARACTERS: Final = 80
"""Characters in the name of an execution, a state or a variable."""

INLINE_MAP_CONCURRENCY: Final = 40
"""Concurrent iterations of an inline Map.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html
"""

MAP_CONCURRENCY: Final = 10_000
"""Concurrent child executions of a distributed Map.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

MAP_ITEMS: Final = 100_000_000
"""Items that a distributed Map reads.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
"""

RANGE_ITEMS: Final = 1_000
"""Items in the result of ``States.ArrayRange``.
https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html"""

INTRINSIC_STRING_CHARACTERS: Final = 10_000
"""Characters in the input of ``States.Base64Encode``, ``Base64Decode`` and ``Hash``; source as `RANGE_ITEMS`."""

# Lambda: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html

LAMBDA_UNZIPPED_BYTES: Final = 262_144_000
"""Bytes of a function's unzipped package, including layers: 250 MB of 1,024 KB."""

LAMBDA_SECONDS: Final = 900
"""Duration of an invocation."""

LAMBDA_UNRESERVED_CONCURRENCY: Final = 100
"""Concurrency that must remain unreserved.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

# SageMaker: https://docs.aws.amazon.com/sagemaker/latest/APIReference/, the operation's own page.

ENDPOINT_REQUEST_BYTES: Final = 6_291_456
"""Bytes of a request to an endpoint on instances.

According to the API model of InvokeEndpoint. The page of its quotas says 25 MB: the smaller is safe with both.
"""

SERVERLESS_REQUEST_BYTES: Final = 4_194_304
"""Bytes of a request to a serverless endpoint.

https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
"""

SERVERLESS_MEMORY_MB: Final = (1_024, 2_048, 3_072, 4_096, 5_120, 6_144)
"""Memory sizes of a serverless endpoint; see ServerlessConfig."""

SERVERLESS_CONCURRENCY: Final = 200
"""Concurrent requests of a serverless endpoint; see ServerlessConfig."""

SAGEMAKER_NAME_CHARACTERS: Final = 63
"""Characters in the name of an endpoint, its configuration, a model, a training or a transform job."""

SAGEMAKER_NAME: Final = r"(?=.{1,63}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*"
"""Pattern of such a name, its length included; see CreateEndpoint and CreateTrainingJob."""

TUNING_NAME_CHARACTERS: Final = 32
"""Characters in the name of a tuning job; see CreateHyperParameterTuningJob."""

# S3

S3_KEY_BYTES: Final = 1_024
"""Bytes of UTF-8 in a key. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

S3_PAGE_KEYS: Final = 1_000
"""Keys in one request to list or delete.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html and API_DeleteObjects.html
"""

BUCKET_NAME: Final = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
"""Pattern of a bucket's name. https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""

# EventBridge and SQS

EVENT_RETRY_SECONDS: Final = 86_400
"""Seconds for which EventBridge tries to deliver an event.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
"""

EVENT_RETRIES: Final = 185
"""Attempts of EventBridge to deliver an event; source as `EVENT_RETRY_SECONDS`."""

MESSAGE_BYTES: Final = 1_048_576
"""Bytes of a message in SQS; SNS and EventBridge allow no more.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

QUEUE_BATCH_MESSAGES: Final = 10_000
"""Messages of a queue in one invocation of a function.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

QUEUE_RETENTION_SECONDS: Final = 1_209_600
"""Seconds for which a queue keeps a message: 14 days.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""
