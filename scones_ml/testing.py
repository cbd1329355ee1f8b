"""Fakes of the ports and a runner of state machines, for your own tests: the same promises, kept in memory.

>>> store = MemoryObjectStore({("photos", "a.png"): b"..."})
>>> classifier = FakeClassifier(("bicycle", "motorcycle"), (0.9, 0.1))
>>> run = StateMachineRunner("workflow.asl.json", {"arn:aws:states:::lambda:invoke": [{"Payload": 1}]})

pytest finds the fixture `state_machine` here by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scones_ml import asl
from scones_ml.errors import ImageNotFoundError
from scones_ml.events import ImageRef
from scones_ml.ports import ObjectSummary, StoredObject

__all__ = ["FakeClassifier", "MemoryObjectStore", "StateMachineRunner"]


class MemoryObjectStore:
    """An ObjectStore in a dictionary.

    Args:
        objects: what it holds at first: (bucket, key) to bytes.
    """

    def __init__(self, objects: Mapping[tuple[str, str], bytes] | None = None) -> None:
        self._objects = dict(objects or {})

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """See :meth:`scones_ml.ports.ObjectStore.read`."""
        data = self._objects.get((ref.s3_bucket, ref.s3_key))
        if data is None:
            raise ImageNotFoundError(f"{ref.uri} does not exist")
        etag = _etag(data)
        if ref.etag not in (None, etag):
            raise ImageNotFoundError(f"{ref.uri} was replaced since the event (etag {ref.etag}, now {etag})")
        return StoredObject(ref.model_copy(update={"etag": etag}), data[:limit])

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:  # noqa: ARG002
        """See :meth:`scones_ml.ports.ObjectStore.write`."""
        self._objects[bucket, key] = data
        return _etag(data)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """See :meth:`scones_ml.ports.ObjectStore.list`."""
        keys = [key for held, key in self._objects if held == bucket and key.startswith(prefix)]
        for key in sorted(keys, key=str.encode):
            data = self._objects[bucket, key]
            yield ObjectSummary(key, len(data), _etag(data))

    def delete(self, bucket: str, key: str) -> None:
        """See :meth:`scones_ml.ports.ObjectStore.delete`."""
        self._objects.pop((bucket, key), None)


class FakeClassifier:
    """A Classifier that always says the same, and remembers what it was asked.

    Args:
        labels: class names.
        probabilities: its one answer; nothing checks it, so that tests can make it wrong.

    Attributes:
        asked: the image_id of every picture, in order.
    """

    def __init__(self, labels: tuple[str, ...], probabilities: tuple[float, ...]) -> None:
        self.labels = labels
        self.asked: list[str] = []
        self._probabilities = probabilities

    def predict(self, picture: bytes, *, image_id: str) -> tuple[float, ...]:  # noqa: ARG002
        """See :meth:`scones_ml.ports.Classifier.predict`."""
        self.asked.append(image_id)
        return self._probabilities


class StateMachineRunner:
    """Runs a state machine as often as you like, without waiting, and remembers what happened.

    Args:
        definition: a machine, its JSON as a dict, or the path to a file that holds it.
        answers: for each Resource ARN a function from the task's parameters to its result, or its answers one after
            the other; an answer that is an exception is raised.

    Attributes:
        calls: the ARN and the parameters of every call, in order.
        waits: the seconds that Wait states and Retry rules asked for, in order.
    """

    def __init__(
        self,
        definition: asl.Definition | Path,
        answers: Mapping[str, asl.Resource | Sequence[asl.Json | Exception]] | None = None,
    ) -> None:
        self.calls: list[tuple[str, asl.Json]] = []
        self.waits: list[float] = []
        self._unanswered: list[str] = []
        self._definition = _definition(definition)
        self._resources = {arn: self._resource(arn, answer) for arn, answer in (answers or {}).items()}

    def __call__(self, document: asl.Json = None) -> asl.Execution:
        """Run the machine on an input; branches run one after the other, so that the order of calls is certain.

        Raises:
            AssertionError: a Resource was called more often than it has answers.
        """
        execution = asl.run(
            self._definition, document, resources=self._resources, sleep=self.waits.append, max_workers=1, seed=0
        )
        assert not self._unanswered, f"no answer is left for {self._unanswered[0]}"  # noqa: S101 - for tests
        return execution

    def _resource(self, arn: str, answer: asl.Resource | Sequence[asl.Json | Exception]) -> asl.Resource:
        if callable(answer):
            function = answer

            def answered(parameters: asl.Json) -> object:
                self.calls.append((arn, parameters))
                return function(parameters)

            return answered
        answers = iter(answer)

        def call(parameters: asl.Json) -> object:
            self.calls.append((arn, parameters))
            found = next(answers, StopIteration())
            if isinstance(found, StopIteration):
                self._unanswered.append(f"{arn}, called with {parameters!r}")
            if isinstance(found, Exception):
                raise found
            return found

        return call


def _definition(definition: asl.Definition | Path) -> asl.Definition:
    """The definition, read if it is a file's path."""
    if isinstance(definition, Path) or (isinstance(definition, str) and not definition.lstrip().startswith("{")):
        return Path(definition).read_text(encoding="utf-8")
    return definition


with contextlib.suppress(ImportError):  # without pytest there are no fixtures, and the rest works
    import pytest

    @pytest.fixture
    def state_machine() -> type[StateMachineRunner]:
        """Makes a runner of a definition, with the answers of its Resources."""
        return StateMachineRunner


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
