"""Staging from and to a store: in memory, and S3 as moto's server plays it."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.dataset.opening import fetch
from scones_ml.errors import ConfigurationError, DatasetError, TransientServiceError
from scones_ml.events import ImageRef
from scones_ml.ports import ObjectStore, StoredObject
from scones_ml.testing import MemoryObjectStore

BUCKET = "scones-staging"


class CountingStore(MemoryObjectStore):
    """Remembers what was read and written, and can fail after so many operations."""

    def __init__(self, fail_after: int | None = None) -> None:
        super().__init__()
        self.read_keys: list[str] = []
        self.written_keys: list[str] = []
        self.fail_after = fail_after

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        self._maybe_fail(len(self.read_keys))
        self.read_keys.append(ref.s3_key)
        return super().read(ref, limit)

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        self._maybe_fail(len(self.written_keys))
        self.written_keys.append(key)
        return super().write(bucket, key, data, content_type)

    def _maybe_fail(self, done: int) -> None:
        if self.fail_after is not None and done >= self.fail_after:
            raise TransientServiceError("s3://scones-staging: SlowDown: reduce your request rate")


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryObjectStore()
    import boto3

    from scones_ml.aws.store import S3ObjectStore

    client = boto3.client(
        "s3",
        endpoint_url=request.getfixturevalue("moto_url"),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=BUCKET)
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    return S3ObjectStore(client)


def make_image(seed: int) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(store: ObjectStore, prefix: str = "photos/", count: int = 8) -> None:
    for number in range(count):
        for label, name in enumerate(("bicycle", "motorcycle")):
            store.write(BUCKET, f"{prefix}{name}/{number}.png", make_image(2 * number + label), "image/png")


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [found.key for found in store.list(BUCKET, prefix)]


def staged(tmp_path: Path, seed: int = 0, count: int = 8) -> dataset.Dataset:
    root = tmp_path / f"source-{seed}"
    for number in range(count):
        for label, name in enumerate(("bicycle", "motorcycle")):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"{number}.png").write_bytes(make_image(1_000 * seed + 2 * number + label))
    return dataset.stage(root, tmp_path / f"data-{seed}", image_size=8).dataset


def test_a_prefix_is_a_source(store: ObjectStore, tmp_path: Path) -> None:
    """Class folders below a prefix are staged; images are told by content, manifests beside them are not images."""
    fill(store)
    store.write(BUCKET, "photos/bicycle/noname", make_image(99), "application/octet-stream")
    store.write(BUCKET, "photos/bicycle/notes.lst", b"0\t0\ta.png\n", "image/png")
    store.write(BUCKET, "photos.lst", b"0\t0\ta.png\n", "text/plain")
    store.write(BUCKET, "photos-other/tram/1.png", make_image(98), "image/png")
    result = dataset.stage(
        f"s3://{BUCKET}/photos", tmp_path / "out", image_size=8, store=store, downloads=tmp_path / "downloads"
    )
    assert result.dataset.classes == ("bicycle", "motorcycle")
    assert (len(result.dataset.records), result.ignored, result.problems) == (17, 1, ())


def test_the_course_s_layout_is_a_source(store: ObjectStore, tmp_path: Path) -> None:
    """s3://bucket/train.lst names images below train/, and test.lst beside it the test set."""
    for side, count in (("train", 12), ("test", 4)):
        rows = "".join(f"{row}\t{row % 2}\tp{row}.png\n" for row in range(count))
        store.write(BUCKET, f"{side}.lst", rows.encode(), "text/plain")
        for row in range(count):
            store.write(BUCKET, f"{side}/p{row}.png", make_image(row + 100 * len(side)), "image/png")
    result = dataset.stage(
        f"s3://{BUCKET}/train.lst",
        tmp_path / "out",
        classes=["bicycle", "motorcycle"],
        image_size=8,
        store=store,
        downloads=tmp_path / "downloads",
    )
    assert result.dataset.counts()["test"] == {"bicycle": 2, "motorcycle": 2}
    assert len(result.dataset.records) == 16


def test_recordio_in_the_store(store: ObjectStore, tmp_path: Path) -> None:
    """A data set in RecordIO goes to a prefix with its folders, and its train.rec there stands for its other splits."""
    data = staged(tmp_path)
    dataset.write_recordio(data)
    uri = f"s3://{BUCKET}/data"
    dataset.upload(data, uri, store)
    assert {f"data/{split}.rec" for split in dataset.SPLITS} <= set(keys(store))
    again = dataset.stage(
        f"{uri}/train.rec",
        tmp_path / "out",
        classes=data.classes,
        image_size=8,
        store=store,
        downloads=tmp_path / "downloads",
    ).dataset
    assert again.hash == data.hash
    for file in data.root.glob("*.rec"):
        file.unlink()
    assert dataset.upload(data, uri, store).removed == len(dataset.SPLITS)


def test_there_and_back(store: ObjectStore, tmp_path: Path) -> None:
    """A data set goes to a prefix and comes back the same; the second time nothing is written."""
    data = staged(tmp_path)
    uri = f"s3://{BUCKET}/data"
    first = dataset.upload(data, uri, store)
    assert (first.written, first.skipped, first.removed) == (22, 0, 0)
    assert dataset.upload(data, uri, store) == dataset.Upload(f"{uri}/", 0, 22, 0)
    assert dataset.load(dataset.download(uri, store, tmp_path / "copy")).hash == data.hash


def test_another_data_set_takes_its_place(store: ObjectStore, tmp_path: Path) -> None:
    """What only the earlier data set had is removed; what both have is left alone."""
    uri = f"s3://{BUCKET}/data"
    dataset.upload(staged(tmp_path, seed=0, count=9), uri, store)
    smaller = staged(tmp_path, seed=1, count=8)
    done = dataset.upload(smaller, uri, store)
    assert done.removed > 0
    assert sorted(key.removeprefix("data/") for key in keys(store)) == sorted(
        [
            *(record.path for record in smaller.records),
            *(f"{split}.lst" for split in dataset.SPLITS),
            "dataset.json",
            "manifest.jsonl",
        ]
    )


def test_other_objects_are_left_alone(store: ObjectStore, tmp_path: Path) -> None:
    """A prefix that holds something else is refused before anything is written."""
    store.write(BUCKET, "data/diary.txt", b"dear diary", "text/plain")
    with pytest.raises(DatasetError, match=r"holds 1 other object, such as diary\.txt: choose another prefix"):
        dataset.upload(staged(tmp_path), f"s3://{BUCKET}/data", store)
    assert keys(store) == ["data/diary.txt"]


def test_an_upload_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """An interrupted upload has no dataset.json; run again, it writes only what is missing."""
    data, store = staged(tmp_path), CountingStore(fail_after=10)
    with pytest.raises(TransientServiceError, match="SlowDown"):
        dataset.upload(data, f"s3://{BUCKET}/data", store)
    there = set(keys(store))
    assert 10 <= len(there) < 22
    assert "data/dataset.json" not in there
    store.fail_after, store.written_keys = None, []
    done = dataset.upload(data, f"s3://{BUCKET}/data", store)
    images = {f"data/{record.path}" for record in data.records}
    assert set(store.written_keys) & images == images - there
    assert store.written_keys[-1] == "data/dataset.json"
    assert done.written + done.skipped == 22


def test_replacing_is_never_seen_half(tmp_path: Path) -> None:
    """While another data set takes the place of one, there is no dataset.json."""
    store = CountingStore()
    dataset.upload(staged(tmp_path, seed=0), f"s3://{BUCKET}/data", store)
    store.fail_after = len(store.written_keys) + 3
    with pytest.raises(TransientServiceError):
        dataset.upload(staged(tmp_path, seed=1), f"s3://{BUCKET}/data", store)
    assert "data/dataset.json" not in keys(store)
    store.fail_after = None
    new = dataset.load(tmp_path / "data-1")
    dataset.upload(new, f"s3://{BUCKET}/data", store)
    assert dataset.load(dataset.download(f"s3://{BUCKET}/data", store, tmp_path / "copy")).hash == new.hash


def test_a_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """An interrupted download reads only what is missing; changed objects are read again, deleted ones removed."""
    store = CountingStore()
    fill(store)
    store.fail_after = 7
    with pytest.raises(TransientServiceError):
        dataset.download(f"s3://{BUCKET}/photos", store, tmp_path / "copy")
    first = len(store.read_keys)
    store.fail_after = None
    dataset.download(f"s3://{BUCKET}/photos", store, tmp_path / "copy")
    assert len(store.read_keys) == 16
    assert first >= 7
    store.read_keys = []
    store.write(BUCKET, "photos/bicycle/0.png", make_image(77), "image/png")
    store.delete(BUCKET, "photos/bicycle/1.png")
    seen: list[tuple[int, int]] = []
    dataset.download(f"s3://{BUCKET}/photos/", store, tmp_path / "copy", lambda done, total: seen.append((done, total)))
    assert store.read_keys == ["photos/bicycle/0.png"]
    assert seen == [(15, 15)]
    assert (tmp_path / "copy/bicycle/0.png").read_bytes() == make_image(77)
    assert not (tmp_path / "copy/bicycle/1.png").exists()


AWKWARD = ["../../evil.png", "a//b.png", "./c.png", "back\\slash.png", "new\nline.png", "k" * 300 + ".png", "é 写.png"]


@pytest.mark.parametrize("key", AWKWARD)
def test_no_key_leaves_the_folder(key: str, tmp_path: Path) -> None:
    """A key is a name, never a path out of the folder that it is copied to."""
    store = MemoryObjectStore({(BUCKET, f"photos/{key}"): b"1"})
    folder = dataset.download(f"s3://{BUCKET}/photos", store, tmp_path / "in" / "copy")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".downloaded.jsonl")]
    assert [folder in path.parents for path in files] == [True]
    assert files[0].read_bytes() == b"1"


def test_what_cannot_be_staged(tmp_path: Path) -> None:
    """An empty prefix, no bucket and no store are one clear line each."""
    with pytest.raises(DatasetError, match=r"s3://scones-staging/photos/ is empty"):
        dataset.stage(f"s3://{BUCKET}/photos", tmp_path / "out", store=MemoryObjectStore(), downloads=tmp_path / "d")
    with pytest.raises(ConfigurationError, match="is not s3://bucket/prefix"):
        dataset.stage("s3:///photos", tmp_path / "out", store=MemoryObjectStore(), downloads=tmp_path / "d")
    with pytest.raises(DatasetError, match="pass an object store"):
        dataset.stage(f"s3://{BUCKET}/photos", tmp_path / "out")


def test_a_manifest_in_the_store(tmp_path: Path) -> None:
    """A manifest among the objects names its images by their URI, or relative to itself."""
    store = CountingStore()
    fill(store)
    rows = [
        {"source-ref": f"s3://{BUCKET}/photos/{name}/{number}.png", "class": name}
        if number % 2
        else {"path": f"photos/{name}/{number}.png", "class": name}
        for number in range(8)
        for name in ("bicycle", "motorcycle")
    ]
    store.write(BUCKET, "list.manifest", "\n".join(map(json.dumps, rows)).encode(), "application/json")
    result = dataset.stage(
        f"s3://{BUCKET}/list.manifest", tmp_path / "out", image_size=8, store=store, downloads=tmp_path / "downloads"
    )
    assert len(result.dataset.records) == 16
    assert result.problems == ()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server on loopback: its address, its folder and what it was asked for."""
    folder, asked = tmp_path / "site", list[str]()
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder, asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_a_source(site: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    """An archive is downloaded, and refused when it is not the published one; a URL that is not there says so."""
    url, folder, _ = site
    (folder / "cifar-100-binary.tar.gz").write_bytes(b"\x1f\x8b" + b"not the real one")
    found = hashlib.md5(b"\x1f\x8b" + b"not the real one").hexdigest()
    with pytest.raises(DatasetError, match=f"its MD5 is {found}, not that of a CIFAR-100 archive"):
        dataset.stage(f"{url}/cifar-100-binary.tar.gz", tmp_path / "out", downloads=tmp_path / "downloads")
    with pytest.raises(DatasetError, match=r"cannot download http://127\.0\.0\.1.*/gone\.tar\.gz: File not found"):
        dataset.stage(f"{url}/gone.tar.gz", tmp_path / "out", downloads=tmp_path / "downloads")
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["cifar-100-binary.tar.gz"]


def test_a_published_archive_is_downloaded_once(site: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    """A file with the published checksum is kept; one that is broken is downloaded again."""
    url, folder, asked = site
    (folder / "cifar-100-binary.tar.gz").write_bytes(b"published")
    sums = {"cifar-100-binary.tar.gz": hashlib.md5(b"published").hexdigest()}
    for _ in range(2):
        path = fetch(f"{url}/cifar-100-binary.tar.gz", tmp_path / "downloads", checksums=sums)
    assert len(asked) == 1
    path.write_bytes(b"broken")
    again = fetch(f"{url}/cifar-100-binary.tar.gz", tmp_path / "downloads", checksums=sums)
    assert again.read_bytes() == b"published"
