"""What every ObjectStore promises: on a directory, in a workspace, in memory and on S3 (moto's server on loopback)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scones_ml.errors import ConfigurationError, ImageNotFoundError, ImageTooLargeError
from scones_ml.events import ImageRef
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.workspace import BUCKETS, WorkspaceObjectStore
from scones_ml.ports import ObjectStore
from scones_ml.testing import MemoryObjectStore

BUCKET = "photos"
AWKWARD_KEYS = [
    "a.png",
    "my photo+1.png",
    "100%.png",
    "%2F",
    "%2e%2e/secret",
    "../../etc/passwd",
    "./here",
    "/absolute",
    "double//slash",
    "folder/",
    "ünïcode/写真.png",
    "emoji 🚲.png",
    "new\nline",
    "back\\slash",
    "CON",
    "k" * 1024,
    "%tmp-1",
]


def s3(url: str) -> ObjectStore:
    import boto3

    from scones_ml.aws.store import S3ObjectStore

    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    if not any(bucket["Name"] == BUCKET for bucket in client.list_buckets()["Buckets"]):
        client.create_bucket(Bucket=BUCKET)
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    return S3ObjectStore(client)


@pytest.fixture(params=["directory", "memory", "s3", "workspace"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    makers: dict[str, Callable[[], ObjectStore]] = {
        "directory": lambda: DirectoryObjectStore(tmp_path / "buckets"),
        "memory": MemoryObjectStore,
        "s3": lambda: s3(request.getfixturevalue("moto_url")),
        "workspace": lambda: WorkspaceObjectStore(tmp_path / "buckets", MemoryObjectStore),
    }
    return makers[request.param]()


def ref(key: str, etag: str | None = None) -> ImageRef:
    return ImageRef(s3_bucket=BUCKET, s3_key=key, etag=etag)


def test_what_was_written_is_read(store: ObjectStore) -> None:
    """Bytes come back as they were written, with their etag."""
    etag = store.write(BUCKET, "a/b.png", b"\x00bytes", "image/png")
    stored = store.read(ref("a/b.png"))
    assert (stored.data, stored.ref.etag) == (b"\x00bytes", etag)
    assert etag == hashlib.md5(b"\x00bytes").hexdigest()


def test_a_larger_object_is_refused(store: ObjectStore) -> None:
    """An object of more than ``limit`` bytes is refused by its size; one of as many is read, and any has a version."""
    etag = store.write(BUCKET, "a.png", b"0123456789", "image/png")
    with pytest.raises(ImageTooLargeError, match=r"^more than the 9 bytes allowed$"):
        store.read(ref("a.png"), 9)
    assert store.read(ref("a.png"), 10).data == b"0123456789"
    assert store.version(ref("a.png")).etag == etag
    with pytest.raises(ImageNotFoundError):
        store.version(ref("gone.png"))


def test_what_is_written_later_has_a_later_time(store: ObjectStore) -> None:
    """A listing tells when each object was written, within a second of the clock."""
    begin = time.time()
    for key in ("b", "a"):
        store.write(BUCKET, key, b"1", "text/plain")
    written = {found.key: found.modified for found in store.list(BUCKET)}
    assert begin - 1.5 <= written["b"] <= written["a"] <= time.time() + 1.5


def test_writing_again_replaces(store: ObjectStore) -> None:
    """A second write under the same key replaces the first: writing twice is harmless."""
    for data in (b"one", b"two", b"two"):
        store.write(BUCKET, "a.png", data, "image/png")
    assert [found.key for found in store.list(BUCKET)] == ["a.png"]
    assert store.read(ref("a.png")).data == b"two"


def test_a_missing_object_is_not_found(store: ObjectStore) -> None:
    """An object that is gone raises ImageNotFoundError and is named."""
    with pytest.raises(ImageNotFoundError, match=r"s3://photos/gone\.png"):
        store.read(ref("gone.png"))


def test_a_replaced_object_is_not_found(store: ObjectStore) -> None:
    """An event's etag must still hold: other bytes under the key are not the image that the event spoke of."""
    etag = store.write(BUCKET, "a.png", b"one", "image/png")
    assert store.read(ref("a.png", etag)).data == b"one"
    store.write(BUCKET, "a.png", b"two", "image/png")
    with pytest.raises(ImageNotFoundError):
        store.read(ref("a.png", etag))


def test_listing_is_by_prefix_and_in_order(store: ObjectStore) -> None:
    """Keys are listed by prefix, sorted by their UTF-8 bytes, with size and etag."""
    for key in ("b", "a/2", "a/10", "é", "a.lst", "A"):
        store.write(BUCKET, key, key.encode(), "text/plain")
    assert [found.key for found in store.list(BUCKET)] == ["A", "a.lst", "a/10", "a/2", "b", "é"]
    assert [found.key for found in store.list(BUCKET, "a/")] == ["a/10", "a/2"]
    (found,) = store.list(BUCKET, "é")
    assert (found.size, found.etag) == (2, hashlib.md5("é".encode()).hexdigest())


def test_deleting_is_idempotent(store: ObjectStore) -> None:
    """Deleting removes the object; deleting it again changes nothing."""
    store.write(BUCKET, "a/b/c", b"1", "text/plain")
    store.delete(BUCKET, "a/b/c")
    store.delete(BUCKET, "a/b/c")
    assert list(store.list(BUCKET)) == []


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_any_key_is_kept_as_it_is(store: ObjectStore, key: str, request: pytest.FixtureRequest) -> None:
    """Spaces, percent signs, dots, slashes, unicode and 1,024 bytes: a key is a name, never a path."""
    if "s3" in request.node.callspec.id and key in ("new\nline", "./here", "../../etc/passwd", "/absolute"):
        pytest.skip("moto's web server rewrites such paths before it sees the key")
    store.write(BUCKET, key, b"1", "text/plain")
    assert [found.key for found in store.list(BUCKET)] == [key]
    assert store.read(ref(key)).data == b"1"
    store.delete(BUCKET, key)
    assert list(store.list(BUCKET)) == []


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300))
def test_no_key_leaves_the_root(tmp_path: Path, key: str) -> None:
    """Whatever the key, its file lies below the bucket's folder, and listing gives the key back."""
    root = tmp_path / "root"
    store = DirectoryObjectStore(root)
    store.write(BUCKET, key, b"1", "text/plain")
    assert [found.key for found in store.list(BUCKET)] == [key]
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and (root / BUCKET) not in path.parents]
    assert outside == []
    store.delete(BUCKET, key)
    assert not (root / BUCKET).exists()


_SEGMENTS = st.text(st.sampled_from(["a", "b", ".", "%", "é", " "]), max_size=4) | st.just("k" * 450)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_SEGMENTS, min_size=1, max_size=4).map("/".join).filter(bool), st.integers(0, 20))
def test_any_beginning_of_a_key_lists_it(tmp_path: Path, key: str, length: int) -> None:
    """Whatever the key and however little of it is the prefix, looking only where it can be finds it, and no other."""
    store = DirectoryObjectStore(tmp_path / "root")
    store.write(BUCKET, key, b"1", "text/plain")
    assert [found.key for found in store.list(BUCKET, key[:length])] == [key]
    assert [found.key for found in store.list(BUCKET, f"{key[:length]}z")] == []
    store.delete(BUCKET, key)


def test_a_workspace_finds_images_by_their_bucket(tmp_path: Path) -> None:
    """A bucket that is a path is that folder; the workspace's own are here, even empty; all others are elsewhere."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"folder")
    remote = MemoryObjectStore({("lake", "a.png"): b"elsewhere", (BUCKETS.input, "a.png"): b"hidden"})
    store = WorkspaceObjectStore(tmp_path / "buckets", lambda: remote)

    def held(bucket: str) -> list[bytes]:
        refs = [ImageRef(s3_bucket=bucket, s3_key=found.key, etag=found.etag) for found in store.list(bucket)]
        return [store.read(ref).data for ref in refs]

    assert [held(bucket) for bucket in (str(folder), "lake", BUCKETS.input)] == [[b"folder"], [b"elsewhere"], []]
    store.write(BUCKETS.input, "a.png", b"here", "image/png")
    assert held(BUCKETS.input) == [b"here"]
    assert [store.is_here(bucket) for bucket in (str(folder), BUCKETS.output, "lake")] == [True, True, False]


def test_a_workspace_writes_to_itself_alone(tmp_path: Path) -> None:
    """Nothing is ever written or deleted in a folder of the user's or elsewhere."""
    remote = MemoryObjectStore({("lake", "a.png"): b"elsewhere"})
    store = WorkspaceObjectStore(tmp_path / "buckets", lambda: remote)
    (tmp_path / "a.png").write_bytes(b"folder")
    for act in (lambda: store.write(str(tmp_path), "a.png", b"", ""), lambda: store.delete(str(tmp_path), "a.png")):
        with pytest.raises(ConfigurationError, match="read only"):
            act()
    store.delete("lake", "a.png")
    store.write("lake", "b.png", b"here", "image/png")
    assert [found.key for found in remote.list("lake")] == ["a.png"]
    assert [found.key for found in store.list("lake")] == ["b.png"]


def test_a_workspace_without_an_elsewhere_keeps_to_this_machine(tmp_path: Path) -> None:
    """Where nothing is elsewhere, an unknown bucket is an empty one."""
    store = WorkspaceObjectStore(tmp_path / "buckets")
    assert list(store.list("lake")) == []
    with pytest.raises(ImageNotFoundError):
        store.read(ImageRef(s3_bucket="lake", s3_key="a.png"))


def test_a_directory_names_what_it_cannot_hold(tmp_path: Path) -> None:
    """A directory cannot hold ``a`` and ``a/b`` at once; it says so instead of losing one."""
    store = DirectoryObjectStore(tmp_path)
    store.write(BUCKET, "a", b"1", "text/plain")
    with pytest.raises(ConfigurationError, match=r"s3://photos/a/b cannot be written"):
        store.write(BUCKET, "a/b", b"2", "text/plain")
    assert store.read(ref("a")).data == b"1"


def test_a_crash_leaves_no_half_object(tmp_path: Path) -> None:
    """Temporary files of an interrupted write are never listed."""
    store = DirectoryObjectStore(tmp_path)
    store.write(BUCKET, "a", b"1", "text/plain")
    (tmp_path / BUCKET / "%tmp-0123").write_bytes(b"half")
    assert [found.key for found in store.list(BUCKET)] == ["a"]
