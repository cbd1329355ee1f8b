"""Classifier on a SageMaker endpoint, or on whatever speaks its runtime API."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scones_ml.aws.errors import translated
from scones_ml.errors import InferenceError

if TYPE_CHECKING:
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient

__all__ = ["SageMakerClassifier"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class SageMakerClassifier:
    """A SageMaker endpoint that answers a picture with a JSON list of probabilities.

    Args:
        endpoint: its name.
        labels: class names in the order of its answers.
        client: a runtime client; None makes one from the environment (credentials, region,
            AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME).
    """

    def __init__(self, endpoint: str, labels: tuple[str, ...], client: SageMakerRuntimeClient | None = None) -> None:
        self._endpoint = endpoint
        self._labels = labels
        self._client = client or _default_client()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self._labels

    def predict(self, picture: bytes, *, image_id: str) -> tuple[float, ...]:
        """See :meth:`scones_ml.ports.Classifier.predict`."""
        with translated(f"endpoint {self._endpoint}"):
            answer = self._client.invoke_endpoint(
                EndpointName=self._endpoint,
                ContentType="image/png" if picture.startswith(b"\x89PNG") else "application/x-image",
                Body=picture,
                InferenceId=image_id,
            )
            body = answer["Body"].read()
        try:
            numbers = json.loads(body)
            return tuple(float(number) for number in numbers)
        except (ValueError, TypeError) as exc:
            start = body[:60].decode(errors="replace")
            raise InferenceError(f"endpoint {self._endpoint} answered {start!r}, not a JSON list of numbers") from exc


def _default_client() -> SageMakerRuntimeClient:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    # The workflow retries, so that a slow endpoint is not asked twice within one Lambda invocation.
    config = Config(connect_timeout=3, read_timeout=55, retries={"total_max_attempts": 1, "mode": "standard"})
    url = os.environ.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "")
    if urlsplit(url).hostname in _LOOPBACK:  # an endpoint on this machine: no account, and no key leaves it
        config = config.merge(Config(signature_version=UNSIGNED, region_name="us-east-1"))
    with translated("SageMaker"):
        client: SageMakerRuntimeClient = boto3.client("sagemaker-runtime", config=config)
    return client
