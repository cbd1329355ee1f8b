"""What the package ships for users' own tests: the page's example passes, and events tell of any object."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml import events
from scones_ml.errors import EventError
from scones_ml.events import ImageRef
from scones_ml.testing import recorded_event, recorded_events

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
STARTS = sorted(set(recorded_events("start_")) - {"start_s3_test"})
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def test_the_page_s_example_passes(tmp_path: Path) -> None:
    """The page's function and its tests, saved under their names, pass with the package's fixtures alone."""
    blocks = dict(re.findall(r'^```python title="(.+?)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL))
    assert set(blocks) == {"function.py", "test_function.py"}
    for name, code in blocks.items():
        (tmp_path / name).write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "scones_ml.testing", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"{len(STARTS) + 3} passed" in done.stdout, done.stdout + done.stderr


def test_the_page_names_every_event() -> None:
    """Each recorded event is in the page's table, by its name or the beginning of it, and no other is."""
    table = PAGE.partition("| event | content |")[2]
    told = re.findall(r"`((?:start|batch|serialized|classified|skipped|refused)_\w*\*?)`", table)
    covered = {name for pattern in told for name in recorded_events(pattern.rstrip("*"))}
    assert covered == set(recorded_events())
    assert all(recorded_events(pattern.rstrip("*")) for pattern in told)


@pytest.mark.parametrize("name", STARTS)
@given(key=KEYS, versioned=st.booleans())
def test_a_recorded_event_tells_of_any_object(name: str, key: str, versioned: bool) -> None:
    """Whatever its key, the object that is read from the event is the one that was asked for."""
    about = ImageRef(s3_bucket="photos", s3_key=key, etag="e" * 32, version_id="v1" if versioned else None)
    found = events.image_ref(recorded_event(name, about))
    assert (found.s3_bucket, found.s3_key) == ("photos", key)
    if "course" not in name and name != "start_direct":  # these shapes carry no version
        assert (found.etag, found.version_id) == (about.etag, about.version_id)


@pytest.mark.parametrize("name", recorded_events())
def test_only_the_object_is_exchanged(name: str) -> None:
    """An event about another object has the recorded one's shape, key for key."""
    about = ImageRef(s3_bucket="photos", s3_key="a.png", etag="e" * 32, version_id="v1")
    assert shape(recorded_event(name, about)) == shape(recorded_event(name))
    assert "scones-input" not in json.dumps(recorded_event(name, about))


def shape(value: object) -> object:
    """The names in a document, those inside of JSON texts as well; a version may come along in a mixed batch."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items() if k not in ("versionId", "version-id")}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, str) and value.startswith("{"):
        return shape(json.loads(value))
    return None


def test_an_unknown_event_is_named_with_those_there_are() -> None:
    """A misspelled name is refused in one line that lists the events."""
    with pytest.raises(EventError, match="there is no recorded event 'start_s4': choose from batch_sqs_mixed, "):
        recorded_event("start_s4")
