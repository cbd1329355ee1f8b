"""In-memory fakes of the ports, with the same guarantees."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping

from scones_ml.errors import ImageNotFoundError
from scones_ml.events import ImageRef
from scones_ml.ports import ObjectSummary, StoredObject, refuse_larger

__all__ = ["FakeClassifier", "MemoryObjectStore"]


class MemoryObjectStore:
    """An ObjectStore in a dictionary.

    Args:
        objects: initial objects: (bucket, key) to bytes.
    """

    def __init__(self, objects: Mapping[tuple[str, str], bytes] | None = None) -> None:
        self._objects = dict(objects or {})
        self._written = dict.fromkeys(self._objects, time.time())

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """See :meth:`scones_ml.ports.ObjectStore.read`."""
        data = self._objects.get((ref.s3_bucket, ref.s3_key))
        if data is None:
            raise ImageNotFoundError(f"{ref.uri} does not exist")
        etag = _etag(data)
        if ref.etag not in (None, etag):
            raise ImageNotFoundError(f"{ref.uri} was replaced since the event (etag {ref.etag}, now {etag})")
        refuse_larger(len(data), limit)
        return StoredObject(ref.model_copy(update={"etag": etag}), data)

    def version(self, ref: ImageRef) -> ImageRef:
        """See :meth:`scones_ml.ports.ObjectStore.version`."""
        return self.read(ref).ref

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:  # noqa: ARG002
        """See :meth:`scones_ml.ports.ObjectStore.write`; later writes have later times."""
        self._objects[bucket, key] = data
        self._written[bucket, key] = max(time.time(), max(self._written.values(), default=0.0) + 1e-3)
        return _etag(data)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """See :meth:`scones_ml.ports.ObjectStore.list`."""
        keys = [key for held, key in self._objects if held == bucket and key.startswith(prefix)]
        for key in sorted(keys, key=str.encode):
            data = self._objects[bucket, key]
            yield ObjectSummary(key, len(data), _etag(data), self._written[bucket, key])

    def delete(self, bucket: str, key: str) -> None:
        """See :meth:`scones_ml.ports.ObjectStore.delete`."""
        self._objects.pop((bucket, key), None)
        self._written.pop((bucket, key), None)


class FakeClassifier:
    """A Classifier that always returns the same probabilities, and records its calls.

    Args:
        labels: class names.
        probabilities: its result; not checked, so that tests can use invalid ones.

    Attributes:
        model: its model id.
        asked: the image_id of every image, in order.
    """

    def __init__(self, labels: tuple[str, ...], probabilities: tuple[float, ...]) -> None:
        self.labels = labels
        self.model = "endpoint:fake"
        self.asked: list[str] = []
        self._probabilities = probabilities

    def predict(self, image: bytes, *, image_id: str) -> tuple[float, ...]:  # noqa: ARG002
        """See :meth:`scones_ml.ports.Classifier.predict`."""
        self.asked.append(image_id)
        return self._probabilities


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
