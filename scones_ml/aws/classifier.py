"""Classifier on a SageMaker endpoint, or on a server with the same runtime API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from scones_ml.answers import read_probabilities
from scones_ml.aws import clients
from scones_ml.aws.errors import translated
from scones_ml.errors import InferenceError
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient

__all__ = ["SageMakerClassifier"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class SageMakerClassifier:
    """A SageMaker endpoint that returns probabilities, in any format of :mod:`scones_ml.answers`.

    Args:
        endpoint: name of the endpoint.
        labels: class names in the order of its probabilities.
        url: URL of the runtime API; None for AWS, with credentials and region from the environment. Requests to a
            loopback address are not signed, so that no account is needed and no key leaves the machine.
    """

    def __init__(self, endpoint: str, labels: tuple[str, ...], url: str | None = None) -> None:
        self._endpoint = endpoint
        self._labels = labels
        self._is_local = url is not None and urlsplit(url).hostname in _LOOPBACK
        self._client = _client(url, self._is_local)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self._labels

    @property
    def model(self) -> str:
        """``"endpoint:NAME"``; the deployment decides which model it serves."""
        return f"endpoint:{self._endpoint}"

    def predict(self, image: bytes, *, image_id: str) -> tuple[float, ...]:
        """See :meth:`scones_ml.ports.Classifier.predict`."""
        with translated(f"endpoint {self._endpoint}", is_local=self._is_local):
            answer = self._client.invoke_endpoint(
                EndpointName=self._endpoint,
                ContentType="image/png" if image.startswith(b"\x89PNG") else "application/x-image",
                Body=image,
                InferenceId=image_id,
            )
            body = answer["Body"].read()
        try:
            return read_probabilities(body, self._labels)
        except ValueError as exc:
            start = body[:60].decode(errors="replace")
            raise InferenceError(
                f"endpoint {self._endpoint} answered {start!r}: the answer {exc}; "
                f"expected are probabilities of {', '.join(self._labels)}"
            ) from exc

    def prepare(self, data: bytes, policy: ImagePolicy) -> bytes:
        """See :meth:`scones_ml.steps.BatchClassifier.prepare`."""
        from scones_ml import images  # in the workflow, images arrive decoded

        return images.normalise(data, policy).png

    def predict_many(self, images: Sequence[bytes], image_ids: Sequence[str]) -> Sequence[tuple[float, ...]]:
        """See :meth:`scones_ml.steps.BatchClassifier.predict_many`; an endpoint takes one image at a time."""
        pairs = zip(images, image_ids, strict=True)
        return [self.predict(image, image_id=image_id) for image, image_id in pairs]


def _client(url: str | None, is_local: bool) -> SageMakerRuntimeClient:
    from botocore import UNSIGNED
    from botocore.config import Config

    config = clients.INFERENCE
    if is_local:
        config = config.merge(Config(signature_version=UNSIGNED, region_name="us-east-1"))  # any region
    return cast("SageMakerRuntimeClient", clients.client("sagemaker-runtime", config, url))
