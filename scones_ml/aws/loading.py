"""Models that load an object: packages are shared, and an endpoint needs its own to start another instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scones_ml.aws.objects import has_objects
from scones_ml.aws.resources import Resources

__all__ = ["LoadedObjects"]

_PACKAGE: Final = ".tar.gz"


class LoadedObjects:
    """Objects that the models of the account and region load, ours or not; each model is described once.

    Args:
        aws: makes the calls.
    """

    def __init__(self, aws: Resources) -> None:
        self._aws = aws
        self._known: dict[str, tuple[str, ...]] = {}

    def model(self, uri: str) -> str | None:
        """The name of a model that loads an object, or one below a prefix; None when none does.

        Args:
            uri: ``s3://bucket/key``, or ``s3://bucket/prefix/``.

        Raises:
            ConfigurationError: permission or credentials are missing.
            TransientServiceError: throttled or unreachable.
        """
        if not has_objects(self._aws, uri, _PACKAGE):
            return None
        for name in self._aws.names("model"):
            if name not in self._known:
                self._known[name] = tuple(_loaded(self._aws.find("model", name) or {}))
            if any(_overlap(uri, loaded) for loaded in self._known[name]):
                return name
        return None


def _loaded(model: Mapping[str, Any]) -> Iterator[str]:
    for container in (model.get("PrimaryContainer", {}), *model.get("Containers", ())):
        yield str(container.get("ModelDataUrl", ""))  # a prefix when one endpoint serves many models
        for source in (container, *container.get("AdditionalModelDataSources", ())):
            data = source.get("ModelDataSource", source)
            yield str(data.get("S3DataSource", {}).get("S3Uri", ""))


def _overlap(uri: str, loaded: str) -> bool:
    below = uri.endswith("/") and loaded.startswith(uri)
    return loaded == uri or below or (loaded.endswith("/") and uri.startswith(loaded))
