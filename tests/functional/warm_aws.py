"""Imported once by the process that commands are forked from, so that not each loads AWS's service models anew."""

from __future__ import annotations

from scones_ml.aws import clients, deployer, inventory, requests, store, trainer  # noqa: F401 - for what follows
from scones_ml.cli import deploy, resources, stage, train  # noqa: F401
from scones_ml.dataset import staging  # noqa: F401

for _service in ("application-autoscaling", "cloudwatch", "logs", "s3", "sagemaker", "sagemaker-runtime"):
    clients.session().create_client(
        _service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    requests._model(_service)
