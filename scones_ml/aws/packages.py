"""Model packages on their way to S3, and the place that plans are made for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from scones_ml.errors import SconesError
from scones_ml.plans import Change
from scones_ml.ports import BuiltInModel, ObjectStore
from scones_ml.sagemaker.endpoint_requests import EndpointPlace, Vpc
from scones_ml.sagemaker.model_package import ModelPackage, pack_model

__all__ = ["Where", "is_stored", "package_of", "place_of", "store_package", "supposed_place"]


class Where(Protocol):
    """Where things are on AWS; each is looked up when it is asked for."""

    @property
    def region(self) -> str:
        """``"us-east-1"``."""
        ...

    @property
    def role(self) -> str:
        """ARN of the role that SageMaker takes on."""
        ...

    @property
    def root(self) -> str:
        """``s3://bucket/prefix`` that model packages go under."""
        ...

    @property
    def captures(self) -> str:
        """``s3://bucket/prefix`` that data capture goes under."""
        ...


def place_of(where: Where, vpc: Vpc | None) -> EndpointPlace:
    """The place, looked up.

    Raises:
        ConfigurationError: nothing says where something is.
    """
    return EndpointPlace(where.region, where.role, where.root, where.captures, vpc)


def supposed_place(where: Where, vpc: Vpc | None) -> EndpointPlace:
    """The place, as far as it is known: role and bucket that nothing names are called as the variables that would.

    Raises:
        ConfigurationError: no region is set.
    """
    return EndpointPlace(
        region=where.region,
        role_arn=_known(lambda: where.role, f"arn:aws:iam::{'0' * 12}:role/SCONES_ROLE"),
        root=_known(lambda: where.root, "s3://SCONES_BUCKET"),
        captures=_known(lambda: where.captures, "s3://SCONES_BUCKET/captures"),
        vpc=vpc,
    )


def package_of(model: Path | BuiltInModel) -> ModelPackage | None:
    """The model's package; None for what lies in S3 already.

    Raises:
        ConfigurationError: it is not a model.
    """
    return pack_model(model) if isinstance(model, Path) else None


def is_stored(store: ObjectStore, change: Change) -> bool:
    """Whether a plan's object is there; its name says what it holds."""
    bucket, key = str(change.request["Bucket"]), str(change.request["Key"])
    return any(item.key == key for item in store.list(bucket, key))


def store_package(store: ObjectStore, change: Change) -> None:
    """Upload a plan's object."""
    request = change.request
    store.write(str(request["Bucket"]), str(request["Key"]), change.content, str(request["ContentType"]))


def _known(find: Callable[[], str], otherwise: str) -> str:
    try:
        return find()
    except SconesError:
        return otherwise
