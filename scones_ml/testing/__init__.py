"""Tools for your own tests: fakes of the ports, a state machine runner, a bucket, recorded events, hostile images.

>>> store = MemoryObjectStore({("photos", "a.png"): b"..."})
>>> classifier = FakeClassifier(("bicycle", "motorcycle"), (0.9, 0.1))
>>> run = StateMachineRunner("workflow.asl.json", {"arn:aws:states:::lambda:invoke": [{"Payload": 1}]})
>>> event = recorded_event("start_s3_notification", about=bucket.put("my photo+1.png", b"..."))

pytest finds the fixtures `state_machine`, `local_bucket` and `recorded_event` automatically.

The names that this package exports are public; its modules are internal and may change without notice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from scones_ml.local.handlers import LambdaContext
from scones_ml.testing.bucket import LocalBucket
from scones_ml.testing.envelopes import sns_event, sns_message, sqs_event
from scones_ml.testing.fakes import FakeClassifier, MemoryObjectStore
from scones_ml.testing.kinds import ImageKind, image_kinds
from scones_ml.testing.recorded import recorded_event, recorded_events
from scones_ml.testing.runner import StateMachineRunner

__all__ = [
    "FakeClassifier",
    "ImageKind",
    "LambdaContext",
    "LocalBucket",
    "MemoryObjectStore",
    "StateMachineRunner",
    "image_kinds",
    "recorded_event",
    "recorded_events",
    "sns_event",
    "sns_message",
    "sqs_event",
]

with contextlib.suppress(ImportError):  # without pytest there are no fixtures, but the rest works
    import pytest

    @pytest.fixture
    def state_machine() -> type[StateMachineRunner]:
        """A factory of state machine runners, from a definition and the results of its Resources."""
        return StateMachineRunner

    @pytest.fixture
    def local_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalBucket:
        """The bucket `scones-input` on disk, in the object store that scones_ml uses during the test."""
        from scones_ml.local.store import DirectoryObjectStore

        root = tmp_path / "buckets"
        monkeypatch.setenv("SCONES_OBJECT_STORE", f"directory:{root}")
        return LocalBucket(DirectoryObjectStore(root), "scones-input")

    @pytest.fixture(name="recorded_event")
    def _recorded_event() -> Callable[..., dict[str, object]]:
        """The function :func:`recorded_event`, which returns a recorded event by name, about your object."""
        return recorded_event
