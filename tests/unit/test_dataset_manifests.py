"""Manifests as sources: .lst files and JSON Lines."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scones_ml import dataset
from scones_ml.dataset.opening import open_source
from scones_ml.dataset.sources import Source
from scones_ml.errors import DatasetError
from scones_ml.printable import printable
from scones_ml.testing import MemoryObjectStore


def draw(path: Path, seed: int) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(path, "PNG")
    return path.read_bytes()


def opened(path: Path | str, *names: str) -> Source:
    return open_source(path, seed=0, image_size=8, names=names)


def course(root: Path) -> Path:
    """The course's layout: flat folders, and a list beside each; 0 bicycle, 1 motorcycle."""
    for side, count in (("train", 12), ("test", 4)):
        rows = []
        for row in range(count):
            draw(root / side / f"bike_s_{row}.png", row + 100 * (side == "test"))
            rows.append(f"{row}\t{row % 2}\tbike_s_{row}.png\n")
        (root / f"{side}.lst").write_text("".join(rows))
    return root / "train.lst"


def test_a_list_names_label_and_image(tmp_path: Path) -> None:
    """Rows of number, label and path; the folder of the list's name holds them, and test.lst is the test set."""
    source = opened(course(tmp_path), "bicycle", "motorcycle")
    assert source.classes() == ("bicycle", "motorcycle")
    found = source.listing(("motorcycle",)).candidates
    assert {candidate.class_name for candidate in found} == {"motorcycle"}
    assert sum(candidate.split == "test" for candidate in found) == 2
    result = dataset.stage(tmp_path / "train.lst", tmp_path / "out", classes=["bicycle", "motorcycle"], image_size=8)
    assert result.dataset.counts()["test"] == {"bicycle": 2, "motorcycle": 2}
    assert result.problems == ()


def test_labels_are_names_when_none_are_given(tmp_path: Path) -> None:
    """Without names the labels themselves are the classes, in the order of their numbers."""
    draw(tmp_path / "a.png", 1)
    rows = "".join(f"{row}\t{label}\ta.png\n" for row, label in enumerate((10, 2, 0)))
    (tmp_path / "notes.txt").write_text(rows)
    assert opened(tmp_path / "notes.txt").classes() == ("0", "2", "10")
    assert opened(tmp_path / "notes.txt", "2", "10").classes() == ("0", "2", "10")
    with pytest.raises(DatasetError, match="has 3 labels and 2 names were given"):
        opened(tmp_path / "notes.txt", "car", "tram").classes()


def test_labels_may_be_written_as_floats(tmp_path: Path) -> None:
    """MXNet's own tool writes labels as 1.000000."""
    (tmp_path / "a.lst").write_text("0\t1.000000\ta.png\n1\t0.000000\tb.png\n")
    assert opened(tmp_path / "a.lst", "bicycle", "motorcycle").classes() == ("bicycle", "motorcycle")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0\t0\ta.png\n1\tx\tb.png\n", "line 2 is not a number, a label and a path"),
        ("0\t0\ta.png\n1\t1\n", "line 2 is not a number, a label and a path"),
        ("0\t0\ta.png\n1\t-1\tb.png\n", "line 2: label -1"),
        ("0\t0\ta.png\n1\t0.5\tb.png\n", "line 2: label 0.5"),
        ("0\t0\ta.png\n1\tnan\tb.png\n", "line 2: label nan"),
        ("0\t0\t1\ta.png\n", "line 1 has several labels"),
        ("0\t0\t../../etc/passwd\n", "line 1: path .* leads outside the manifest's folder"),
        ("0\t0\t/etc/passwd\n", "line 1: path .* leads outside the manifest's folder"),
        ("0\t1e999999999\ta.png\n", "line 1: label 1e999999999 is not a whole number from 0 up"),
        ("0\t1e400000\ta.png\n", "line 1: label 1e400000 is not"),
        ("0\t" + "9" * 9_999 + "\ta.png\n", "line 1: label 999.* is not"),
        ("0\t0\tpics\\a.png\n", "has backslashes: write 'pics/a.png'"),
        ("0\t0\ta\x00.png\n", "line 1: .* is not a valid file name"),
    ],
)
def test_lists_that_cannot_be_read(rows: str, message: str, tmp_path: Path) -> None:
    """A row that is something else, or leads outside, is named by its line."""
    (tmp_path / "a.lst").write_text(rows)
    with pytest.raises(DatasetError, match=message):
        opened(tmp_path / "a.lst")


def test_a_listed_image_that_is_gone(tmp_path: Path) -> None:
    """An image that the list names but nobody has is a problem with its name, not a failure."""
    lists = course(tmp_path)
    (tmp_path / "train" / "bike_s_3.png").unlink()
    result = dataset.stage(lists, tmp_path / "out", image_size=8)
    assert [(problem.name, problem.kind) for problem in result.problems] == [("train/bike_s_3.png", "unreadable")]


def test_our_own_manifest_is_a_source(tmp_path: Path) -> None:
    """A staged data set's manifest.jsonl names images, classes and splits."""
    staged = dataset.stage(course(tmp_path), tmp_path / "one", classes=["bicycle", "motorcycle"], image_size=8).dataset
    again = dataset.stage(tmp_path / "one" / "manifest.jsonl", tmp_path / "two", image_size=8).dataset
    assert again.hash == staged.hash


def test_an_augmented_manifest_reads_from_the_store(tmp_path: Path) -> None:
    """source-ref names objects, the metadata's class-name the class; many are read at a time, in order."""
    store, lines = MemoryObjectStore(), []
    for row in range(20):
        name = ("bicycle", "motorcycle")[row % 2]
        store.write("photos", f"in/{row}.png", draw(tmp_path / "a.png", row), "image/png")
        metadata = {"class-name": name, "type": "groundtruth/image-classification"}
        lines.append(
            json.dumps({"source-ref": f"s3://photos/in/{row}.png", "label": row % 2, "label-metadata": metadata})
        )
    lines.append(json.dumps({"source-ref": "s3://photos/in/gone.png", "label": 0, "label-metadata": metadata}))
    (tmp_path / "output.manifest").write_text("\n".join(lines) + "\n")
    result = dataset.stage(tmp_path / "output.manifest", tmp_path / "out", image_size=8, store=store)
    assert result.dataset.classes == ("bicycle", "motorcycle")
    assert len(result.dataset.records) == 20
    assert [problem.name for problem in result.problems] == ["s3://photos/in/gone.png"]
    with pytest.raises(DatasetError, match="pass an object store"):
        dataset.stage(tmp_path / "output.manifest", tmp_path / "other", image_size=8)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"path": "a.png", "class": "a"}\n{"path": "b.png"', "line 2 is not a JSON object"),
        ('{"path": "a.png", "class": "a"}\n[1]', "line 2 is not a JSON object"),
        ('{"path": "a.png"}', "has no labels: give each image a class"),
        ('{"class": "a"}', "line 1 has no image: give it as source-ref, path,"),
        ('{"path": 3, "class": "a"}', "line 1 has no image"),
        (
            '{"source": "good food", "label": 1}',
            r"line 1 holds text \(source\) instead of an image: give images in source-ref",
        ),
        ('{"path": "pics\\\\a.png", "class": "a"}', "has backslashes: write 'pics/a.png'"),
        ('{"path": "a\\u0000.png", "class": "a"}', "line 1: .* is not a valid file name"),
        ('{"path": "\\ud800.png", "class": "a"}', "line 1: .* is not a valid file name"),
        ('{"path": "a.png", "class": "a", "split": "7"}', "unknown split '7': give train, validation,"),
        ('{"path": "a.png", "label": 0.5}', "line 1: label is 0.5, neither a name nor a whole number from 0 up"),
        ('{"path": "a.png", "label": 1e999999999}', "line 1: label is inf, neither a name"),
        ('{"path": "a.png", "label": "1e400000"}', "line 1: label is 1e400000, neither a name"),
        ('{"path": "a.png", "label": -1}', "line 1: label is -1, neither a name"),
        ('{"path": "a.png", "label": ' + "9" * 9_999 + "}", "line 1 is not a JSON object"),
        ('{"path": "a.png", "class": ' + "[" * 100_000 + "}", "line 1 is nested too deep"),
        ('{"a":' * 100_000, "line 1 is nested too deep"),
        ('{"path": "a.png", "class": "' + "x" * 2_000_000 + '"}', "line 1 is longer than 1,048,576 bytes"),
        ("{\n", "line 1 is not a JSON object: write one object a line: '{'"),
        ("{}", "line 1 has no image"),
        ('{"images": [], "annotations": []}', "line 1 has no image"),
        ('{"path": "../a.png", "class": "a"}', "line 1: path .* leads outside"),
        ('{"source-ref": "s3:///a.png", "class": "a"}', "line 1: 's3:///a.png' is not s3://bucket/prefix"),
        ('{"source-ref": "s3://photos", "class": "a"}', "line 1: 's3://photos' has no key"),
    ],
)
def test_json_lines_that_cannot_be_read(lines: str, message: str, tmp_path: Path) -> None:
    """A line that is no object, or lacks image or class, is named."""
    (tmp_path / "a.jsonl").write_text(lines)
    with pytest.raises(DatasetError, match=message):
        opened(tmp_path / "a.jsonl").classes()


def test_what_a_file_is_its_content_decides(tmp_path: Path) -> None:
    """A list called .png is a list; an image, or a text, called .lst is none."""
    (tmp_path / "list.png").write_text("0\t0\ta.png\n")
    assert isinstance(opened(tmp_path / "list.png"), dataset.ListFile)
    draw(tmp_path / "picture.lst", 1)
    (tmp_path / "text.lst").write_text("hello\n")
    with pytest.raises(DatasetError, match=r"picture\.lst is an image: give the folder"):
        opened(tmp_path / "picture.lst")
    with pytest.raises(DatasetError, match="neither a CIFAR-100 archive nor RecordIO nor a"):
        opened(tmp_path / "text.lst")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"", "is empty: give a folder"),
        (b' [{"path": "a.png"},', "is one JSON array: write its objects one a line"),
        (b"PK\x03\x04", "is a ZIP archive: unpack it"),
        ("path,label".encode("utf-16"), "is text in UTF-16: save it as UTF-8"),
        (b"path,lab\rel\na.png,0\n", "neither a CIFAR-100 archive"),
        (b"name,kind\na.png,0\n", "has no header with images and classes: give one of source-ref, path, filename,"),
    ],
)
def test_files_that_are_no_source(start: bytes, message: str, tmp_path: Path) -> None:
    """What is often taken for a source is named, with what to do about it."""
    (tmp_path / "file").write_bytes(start)
    with pytest.raises(DatasetError, match=message):
        opened(tmp_path / "file")


def read(path: Path, attribute: str | None = None) -> dict[str, str]:
    """The class of each image that a manifest names."""
    source = open_source(path, seed=0, image_size=8, label_attribute=attribute)
    return {found.name: found.class_name for found in source.listing(source.classes()).candidates}


def test_lists_as_editors_leave_them(tmp_path: Path) -> None:
    """A byte order mark, returns, blank lines and blanks at the end are passed over."""
    text = "\ufeff\r\n0\t1\ta.png \t\r\n\r\n \n 1 \t 0.0 \tb c.png\r\n"
    (tmp_path / "a.lst").write_bytes(text.encode())
    assert read(tmp_path / "a.lst") == {"a/a.png": "1", "a/b c.png": "0"}


def test_json_lines_as_editors_leave_them(tmp_path: Path) -> None:
    """Lines end at a newline alone: other separators within a string belong to it; blank lines are none."""
    lines = ['\ufeff{"path": "a\u2028b\x85c.png", "class": "a"}\r', "  ", '{"path": "b.png", "class": "b"} \t\r', ""]
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines).encode())
    assert read(tmp_path / "a.jsonl") == {"a\\u2028b\\u0085c.png": "a", "b.png": "b"}


GROUND_TRUTH = {"class-name": "dog", "confidence": 0.0, "type": "groundtruth/image-classification"}


def manifest(root: Path, *rows: dict[str, object]) -> Path:
    path = root / "output.manifest"
    path.write_text("".join(json.dumps({"source-ref": f"{n}.png", **row}) + "\n" for n, row in enumerate(rows)))
    return path


@pytest.mark.parametrize(
    ("row", "class_name"),
    [
        ({"species": "0", "species-metadata": GROUND_TRUTH}, "dog"),
        ({"label": 0, "label-metadata": GROUND_TRUTH}, "dog"),
        ({"species": 3}, "3"),
        ({"species": "cat"}, "cat"),
        ({"label": 1.0}, "1"),
        ({"label": "1.000000"}, "1"),
        ({"class": "2.5"}, "2.5"),
        ({"class": "dog", "label": 4}, "dog"),
        ({"tags": [1], "tags-metadata": {"class-map": {"1": "dog"}, "type": "groundtruth/custom"}}, "dog"),
        ({"class": "a\nb\u202e\ud800"}, "a\\nb\\u202e\\ud800"),
    ],
)
def test_the_one_label_attribute_is_read(row: dict[str, object], class_name: str, tmp_path: Path) -> None:
    """The label is the one attribute that there is, whatever its name, by name where its metadata has one."""
    assert read(manifest(tmp_path, row)) == {"0.png": class_name}


def test_several_label_attributes_are_a_choice(tmp_path: Path) -> None:
    """Where several attributes stand, in one line or in different ones, they are named, and one is to be chosen."""
    cat = {**GROUND_TRUTH, "class-name": "cat"}
    rows = ({"first": 0, "first-metadata": GROUND_TRUTH}, {"again": 1, "again-metadata": cat, "colour": "red"})
    path = manifest(tmp_path, *rows)
    with pytest.raises(DatasetError, match="several label attributes, first, again: choose one with --label-attribute"):
        read(path)
    assert read(path, "first") == {"0.png": "dog"}
    assert read(path, "again") == {"1.png": "cat"}
    assert read(path, "colour") == {"1.png": "red"}
    with pytest.raises(DatasetError, match="has no label attribute 'nam': choose from first, again"):
        read(path, "nam")
    with pytest.raises(DatasetError, match="has no label attributes"):
        read(course(tmp_path / "lists"), "first")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tags": [1, 0], "tags-metadata": {"class-map": {"0": "a"}}}, "line 1: tags holds 2 labels instead of one"),
        (
            {"box": {"annotations": []}, "box-metadata": {"type": "groundtruth/object-detection"}},
            "line 1: box is groundtruth/object-detection, not a class",
        ),
        (
            {"mask-ref": "s3://b/m.png", "mask-ref-metadata": {"type": "groundtruth/semantic-segmentation"}},
            "line 1: mask-ref is groundtruth/semantic-segmentation, not a class",
        ),
    ],
)
def test_labels_that_are_no_class(row: dict[str, object], message: str, tmp_path: Path) -> None:
    """Several labels, boxes and masks are refused by name."""
    with pytest.raises(DatasetError, match=message):
        read(manifest(tmp_path, row))


def test_lines_without_a_label_are_left_out_and_named(tmp_path: Path) -> None:
    """A line whose labelling failed, or that has no label, is listed as a problem; the others are staged."""
    failed = {"failure-reason": "ClientError: expired\nat once", "human-annotated": "yes"}
    rows: list[dict[str, object]] = [
        {"kind": n % 2, "kind-metadata": GROUND_TRUTH | {"class-name": "ab"[n % 2]}} for n in range(20)
    ]
    path = manifest(tmp_path, *rows, {"kind-metadata": failed}, {"kind": None}, {"kind": float("nan")}, {})
    for n in range(20):
        draw(tmp_path / f"{n}.png", n)
    problems = dataset.stage(path, tmp_path / "out", image_size=8).problems
    assert [(problem.name, problem.kind, problem.reason) for problem in problems] == [
        ("20.png", "unlabelled", "labelling failed: ClientError: expired\\nat once"),
        *((f"{n}.png", "unlabelled", "no label: kind is missing") for n in (21, 22, 23)),
    ]
    with pytest.raises(DatasetError, match=r"lists no images with a label: 0\.png: labelling failed: ClientError"):
        read(manifest(tmp_path, {"kind-metadata": failed}))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("header", [("path", "label"), ("Filename", "Class"), ("image", "vehicle"), ("file", "label")])
def test_tables(mark: str, header: tuple[str, str], tmp_path: Path) -> None:
    """A table whose header names images and classes is a source, whatever separates its columns."""
    rows = [
        (*header, "split"),
        (f'"a{mark}""b"".png"', "bike", "Test"),
        ("sub/c.png ", "1.0", ""),
        ("", "", ""),
        ("d.png",),
    ]
    text = "\ufeff\r\n" + "".join(mark.join(row) + "\r\n" for row in rows)
    (tmp_path / "a.csv").write_bytes(text.encode())
    source = opened(tmp_path / "a.csv")
    assert source.classes() == ("1", "bike")
    shown = printable(f'a{mark}"b".png')
    listing = source.listing(("1", "bike"))
    assert [(c.name, c.class_name, c.split) for c in listing.candidates] == [
        (shown, "bike", "test"),
        ("sub/c.png", "1", None),
    ]
    assert [problem.name for problem in listing.problems] == ["d.png"]


def test_other_columns_are_handed_on(tmp_path: Path) -> None:
    """What else a line says of an image in scalars goes with it, as text."""
    (tmp_path / "a.csv").write_text("path,label,vehicle\na.png,1,V 7\n")
    row = {"class": "a", "vehicle": 7, "night": True, "weight": 1.5, "tags": ["x"], "nothing": None}
    for path, columns in (
        (tmp_path / "a.csv", {"vehicle": "V 7"}),
        (manifest(tmp_path, row), {"vehicle": "7", "night": "true", "weight": "1.5"}),
    ):
        source = opened(path)
        assert [dict(found.columns) for found in source.listing(source.classes()).candidates] == [columns]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,b.png,1\n", "line 2 has 3 fields, the header 2: quote names"),
        ('path,label\na.png,1\n"b.png,1\n', "line 3 is not a row of a table: unexpected end of data"),
        ("path,label\n../a.png,1\n", "line 2: path .* leads outside the manifest's folder"),
        ("path,label\npics\\a.png,1\n", "line 2: path .* has backslashes: write 'pics/a.png'"),
        ("path,label,label\n", "has the column 'label' twice: rename one"),
        ("path,label\na.png,1\n\nb.png,0.5\n", "line 4: label is 0.5, neither"),
        ("path,colour,size\na.png,red,1\n", "several label attributes, colour, size: choose one with"),
        ("path,label\n", "lists no images"),
        ("path,label\n" + "a" * 200_000 + ",1\n", "line 2 is not a row of a table: field larger than"),
    ],
)
def test_tables_that_cannot_be_read(text: str, message: str, tmp_path: Path) -> None:
    """A row that does not fit its header, or names no image, is named by its line."""
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        opened(tmp_path / "a.csv").classes()


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.dictionaries(st.sampled_from(["path", "label", "class", "x-metadata", "x", "split"]), st.text())
        ).map(lambda rows: "\n".join(map(json.dumps, rows))),
        st.lists(st.text()).map(lambda cells: "path,label\n" + ",".join(cells)),
        st.lists(st.text()).map(lambda cells: "0\t0\ta.png\n" + "\t".join(cells)),
    )
)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever a manifest holds, it is read, or refused in one line that can be printed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        try:
            source = opened(path)
            source.listing(source.classes())
        except DatasetError as exc:
            assert printable(str(exc)) == str(exc)
            assert len(str(exc)) < 600
