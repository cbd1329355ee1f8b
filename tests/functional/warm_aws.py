"""Imported once by the process that commands are forked from, so that not each loads AWS's service models anew."""

from __future__ import annotations

import boto3

from scones_ml.aws import deployer, inventory, requests, store, trainer  # noqa: F401 - imported for what follows
from scones_ml.cli import deploy, resources, stage, train  # noqa: F401
from scones_ml.dataset import staging  # noqa: F401

for _service in ("application-autoscaling", "cloudwatch", "logs", "s3", "sagemaker", "sagemaker-runtime"):
    boto3.client(_service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")  # type: ignore[call-overload]
    requests._model(_service)
