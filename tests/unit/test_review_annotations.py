"""Answers of reviewers: what a file of them holds, whoever wrote it and however the writer ended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.errors import ConfigurationError
from scones_ml.events import FilteredImage, ImageRef
from scones_ml.review.annotations import Annotation, AnnotationFile, Annotations, Undo, read_annotations

NOW = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)
REF = ImageRef(s3_bucket="photos", s3_key="Straße/\u2028 a b.jpg", etag="e1")


def answer(
    label: str, name: str, *, reviewer: str = "ann", image: ImageRef = REF, model: str | None = None
) -> Annotation:
    asked = FilteredImage(
        **image.model_dump(),
        image_id=image.image_id,
        inferences=(0.4, 0.6),
        label="motorcycle",
        confidence=0.6,
        threshold=0.9,
        accepted=False,
    )
    made = Annotation.to(asked, label, id=name, time=NOW + timedelta(seconds=len(name)), reviewer=reviewer)
    return replace(made, model=model)


@pytest.fixture
def file(tmp_path: Path) -> AnnotationFile:
    """A file that is not there yet, in a folder that is not there either."""
    return AnnotationFile(tmp_path / "reviews" / "answers.jsonl")


@settings(max_examples=25)
@given(
    label=st.text(min_size=1),
    reviewer=st.text(min_size=1),
    key=st.text(min_size=1),
    model=st.none() | st.text(min_size=1),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, label: str, reviewer: str, key: str, model: str | None
) -> None:
    """Any label, name and key comes back as it was, one JSON object a line."""
    path = tmp_path_factory.mktemp("answers") / "a.jsonl"
    image = ImageRef(s3_bucket="photos", s3_key=key, version_id="v")
    lines = (answer(label, "1", reviewer=reviewer, image=image, model=model), Undo(NOW, reviewer, "0"))
    for line in lines:
        AnnotationFile(path).append(line)
    assert read_annotations(path).lines == lines
    assert [json.loads(text)["kind"] for text in path.read_bytes().split(b"\n")[:-1]] == ["answer", "undo"]


def test_the_latest_answer_of_a_reviewer_holds(file: AnnotationFile) -> None:
    """A reviewer who answers again has changed the answer; all lines are kept."""
    for line in (answer("bicycle", "1"), answer("motorcycle", "2")):
        file.append(line)
    assert [line.id for line in file.read().current] == ["2"]
    assert len(file.read().lines) == 2


def test_an_undo_brings_back_what_was_before(file: AnnotationFile) -> None:
    """Undone answers count for nothing, and the reviewer's answer before them holds again."""
    for line in (answer("bicycle", "1"), answer("motorcycle", "2"), Undo(NOW, "ann", "2")):
        file.append(line)
    assert [line.id for line in file.read().current] == ["1"]
    file.append(Undo(NOW, "ann", "1"))
    assert file.read().verdicts == ()


def test_reviewers_who_disagree_leave_no_label(file: AnnotationFile) -> None:
    """Both answers are kept and the label is None, until one of the two changes theirs."""
    file.append(answer("bicycle", "1"))
    file.append(answer("motorcycle", "2", reviewer="bob"))
    (verdict,) = file.read().verdicts
    assert verdict.label is None
    assert [(line.reviewer, line.label) for line in verdict.annotations] == [("ann", "bicycle"), ("bob", "motorcycle")]
    file.append(answer("motorcycle", "3"))
    assert [verdict.label for verdict in file.read().verdicts] == ["motorcycle"]


def test_versions_of_an_object_are_images_of_their_own(file: AnnotationFile) -> None:
    """An answer to one version of an object says nothing of another."""
    newer = REF.model_copy(update={"etag": "e2"})
    file.append(answer("bicycle", "1"))
    file.append(answer("motorcycle", "2", image=newer))
    assert [(v.image.etag, v.label) for v in file.read().verdicts] == [("e1", "bicycle"), ("e2", "motorcycle")]


@pytest.mark.parametrize("cut", [1, 20, 100, 2])
def test_half_a_line_costs_nothing_else(file: AnnotationFile, cut: int) -> None:
    """A writer that died in its line leaves the lines before and after it whole; half a line is counted."""
    file.append(answer("bicycle", "1"))
    file.append(answer("bicycle", "2", reviewer="bob"))
    os.truncate(file.path, file.path.stat().st_size - cut)
    seen = AnnotationFile(file.path)
    whole = 2 if cut == 1 else 1
    assert len(seen.read().lines) == whole
    file.append(answer("bicycle", "3", reviewer="eve"))
    assert [line.id for line in seen.read().lines if isinstance(line, Annotation)] == [*["1", "2", "3"][:whole], "3"]
    assert seen.read() == read_annotations(file.path)
    assert seen.read().skipped == 2 - whole


@pytest.mark.parametrize(
    "wrong",
    [
        '"text"',
        "{}",
        '{"kind": "maybe"}',
        '{"kind": "undo", "time": "2026-11-25T18:00:00", "reviewer": "ann", "answer": "1"}',
        '{"kind": "undo", "time": "2026-11-25T18:00:00Z", "reviewer": "", "answer": "1"}',
    ],
)
def test_lines_of_others_are_counted_and_passed_over(file: AnnotationFile, wrong: str) -> None:
    """Lines that are not annotations are skipped, wherever they are."""
    file.append(answer("bicycle", "1"))
    with file.path.open("a") as end:
        end.write(wrong + "\n\n")
    file.append(answer("motorcycle", "2"))
    read = file.read()
    assert (len(read.lines), read.skipped) == (2, 1)


@pytest.mark.parametrize("field", ["confidence", "threshold"])
@pytest.mark.parametrize("value", ["NaN", "1.5", "true", '"0.9"', "null"])
def test_a_share_that_is_none_is_refused(file: AnnotationFile, field: str, value: str) -> None:
    """Confidence and threshold are numbers from 0 to 1, or the line is no answer."""
    file.append(answer("bicycle", "1"))
    fields = json.loads(file.path.read_text()) | {field: "@"}
    file.path.write_text(json.dumps(fields).replace('"@"', value) + "\n")
    assert file.read() == Annotations((), 1)


def test_many_writers_lose_nothing(file: AnnotationFile) -> None:
    """Three processes that append at the same time leave every line of each, whole."""
    code = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from scones_ml.review.annotations import AnnotationFile, Undo\n"
        "file = AnnotationFile(Path(sys.argv[1]))\n"
        "for n in range(20): file.append(Undo(datetime.now(UTC), sys.argv[2] * 300, str(n)))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(file.path), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0] * 3
    read = file.read()
    assert (len(read.lines), read.skipped) == (60, 0)


def test_no_file_is_no_answers_yet_but_an_error_to_a_reader(tmp_path: Path) -> None:
    """A missing file is empty for a writer, and an error with the remedy for a reader."""
    assert AnnotationFile(tmp_path / "none.jsonl").read() == Annotations()
    with pytest.raises(ConfigurationError, match="scones review"):
        read_annotations(tmp_path / "none.jsonl")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_annotations(tmp_path)


def test_a_full_disk_says_that_nothing_was_saved(tmp_path: Path) -> None:
    """An answer that cannot be written is an error that names the file and the reason."""
    (tmp_path / "reviews").write_text("a file where a folder must be")
    with pytest.raises(ConfigurationError, match="nothing is saved"):
        AnnotationFile(tmp_path / "reviews" / "answers.jsonl").append(answer("bicycle", "1"))


def test_the_page_about_it_shows_what_holds(
    file: AnnotationFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line and the code in docs/review.md are a line and code that work."""
    page = (Path(__file__).parents[2] / "docs" / "review.md").read_text(encoding="utf-8")
    (line,), (code,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("json", "python"))
    path = file.path.parent / ".scones" / "reviews" / "answers.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(line, encoding="utf-8")
    monkeypatch.chdir(file.path.parent)
    exec(code, {})
    assert capsys.readouterr().out == "s3://scones-input/inbox/arrival-104.png bicycle\n"
