"""ObjectStore on a directory: ``s3://bucket/key`` is a file below ``root/bucket``.

Keys are never trusted as paths: every segment is percent-encoded, also ``.``, ``..`` and empty segments, and long ones
are cut into pieces. So every S3 key has a file, and no key leaves the root. Unlike S3, a directory cannot hold both
``a`` and ``a/b``.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from scones_ml.bounded import open_regular, size_of
from scones_ml.errors import ConfigurationError, ImageNotFoundError, UnreadableImageError
from scones_ml.events import ImageRef
from scones_ml.ports import ObjectSummary, StoredObject, refuse_larger
from scones_ml.removal import open_folder

__all__ = ["DirectoryObjectStore"]

_EMPTY = "%2F"  # stands for an empty segment: no encoded segment holds this name
_PIECE = 200  # file names may have 255 bytes
_TEMPORARY = "%tmp-"
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR), "is a part of the key an object already?"),
}
_READ_AT_A_TIME = 1_000_000  # bytes of an object that is listed


class DirectoryObjectStore:
    """Objects as files.

    Args:
        root: folder with one folder per bucket; created on the first write.
        write_file: writes the bytes of one file.
    """

    def __init__(self, root: str | Path, write_file: Callable[[Path, bytes], object] = Path.write_bytes) -> None:
        self._root, self._write_file = Path(root), write_file

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """See :meth:`scones_ml.ports.ObjectStore.read`; the etag is the MD5 of the bytes, as usually in S3."""
        try:
            with open_regular(self._path(ref.s3_bucket, ref.s3_key)) as file:
                refuse_larger(size_of(file), limit)
                data = file.read(size_of(file))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
            raise ImageNotFoundError(f"{ref.uri} does not exist") from exc
        except OSError as exc:
            raise UnreadableImageError(f"{ref.uri} cannot be read: {exc.strerror or exc}") from exc
        except ValueError as exc:
            raise UnreadableImageError(f"{ref.uri} {exc}") from exc
        etag = _etag(data)
        if ref.etag not in (None, etag):
            raise ImageNotFoundError(f"{ref.uri} was replaced since the event (etag {ref.etag}, now {etag})")
        return StoredObject(ref.model_copy(update={"etag": etag}), data)

    def version(self, ref: ImageRef) -> ImageRef:
        """See :meth:`scones_ml.ports.ObjectStore.version`."""
        found = next((one for one in self.list(ref.s3_bucket, ref.s3_key) if one.key == ref.s3_key), None)
        if found is None or ref.etag not in (None, found.etag):
            raise ImageNotFoundError(f"{ref.uri} does not exist, or was replaced since the event")
        return ref.model_copy(update={"etag": found.etag})

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:  # noqa: ARG002
        """See :meth:`scones_ml.ports.ObjectStore.write`; readers see the old bytes or the new, never a mixture."""
        path = self._path(bucket, key)
        temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write_file(temporary, data)
            temporary.replace(path)
        except OSError as exc:
            with suppress(OSError):
                temporary.unlink()
            remedy = _REMEDIES.get(exc.errno or 0, "choose another --workspace")
            raise ConfigurationError(
                f"s3://{bucket}/{key} cannot be written below {self._root}: {exc.strerror}; {remedy}"
            ) from exc
        return _etag(data)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """See :meth:`scones_ml.ports.ObjectStore.list`; folders that cannot hold the prefix are skipped."""
        top = self._root / _encode(bucket)[0]
        parent, slash, last = prefix.rpartition("/")
        start = top.joinpath(*_encode(parent)) if slash else top
        begins = "" if last in ("", ".", "..") else _quote(last)[:_PIECE]  # "." may be the beginning of "..."
        found = []
        for folder, folders, names in os.walk(start):
            if folder == str(start):
                folders[:] = [name for name in folders if name.startswith(begins)]
                names = [name for name in names if name.startswith(begins)]
            for name in names:
                path = Path(folder, name)
                if not name.startswith(_TEMPORARY):
                    found.append((_decode(path.relative_to(top).parts), path))
        # S3 lists in the order of UTF-8 bytes, which differs from that of str and of the encoded names.
        for key, path in sorted(found, key=lambda pair: pair[0].encode()):
            if key.startswith(prefix):
                with suppress(FileNotFoundError):  # gone since it was listed
                    yield _summary(key, path)

    def delete(self, bucket: str, key: str) -> None:
        """See :meth:`scones_ml.ports.ObjectStore.delete`; empty folders are removed too, and no link is followed."""
        path = self._path(bucket, key)
        if not path.parent.resolve().is_relative_to(self._root.resolve()):
            raise ConfigurationError(f"s3://{bucket}/{key} is kept: a link leads from {self._root} to {path.resolve()}")
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder in (self._root, *self._root.parents):
                break
            try:
                folder.rmdir()
            except OSError:  # not empty, or not there
                break

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock this store against other processes and threads during the block."""
        self._root.mkdir(parents=True, exist_ok=True)
        folder = os.open(self._root, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def has_bucket(self, bucket: str) -> bool:
        """Whether a bucket holds anything."""
        return (self._root / _encode(bucket)[0]).is_dir()

    def buckets(self) -> Iterator[str]:
        """Every bucket that holds anything, without links and folders whose name is not a bucket's.

        Raises:
            OSError: the folders cannot be listed.
        """
        with suppress(FileNotFoundError), open_folder(self._root) as root, os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            yield from (unquote(name) for name in names if name.isascii() and self.folder_of(unquote(name)) == name)

    @staticmethod
    def folder_of(bucket: str) -> str:
        """The name of a bucket's folder below the root."""
        return _encode(bucket)[0]

    def count(self, bucket: str) -> int:
        """Number of objects in a bucket; none is read."""
        found = os.walk(self._root / self.folder_of(bucket))
        return sum(not name.startswith(_TEMPORARY) for _, _, names in found for name in names)

    def _path(self, bucket: str, key: str) -> Path:
        return self._root.joinpath(_encode(bucket)[0], *_encode(key))


def _encode(key: str) -> list[str]:
    """A key's path below its bucket; a piece that continues in the next ends in ``%``."""
    parts = []
    for segment in key.split("/"):
        name = _quote(segment) if segment not in ("", ".", "..") else segment.replace(".", "%2E")
        pieces = [name[start : start + _PIECE] for start in range(0, len(name), _PIECE)] or [_EMPTY]
        parts += [piece + "%" for piece in pieces[:-1]] + pieces[-1:]
    return parts


def _quote(text: str) -> str:
    """Encode character by character, so that a prefix's encoding is a prefix of the key's encoding."""
    return quote(text, safe=" !&'()+,;=@~")


def _decode(parts: tuple[str, ...]) -> str:
    segments, name = [], ""
    for part in parts:
        if part.endswith("%"):
            name += part[:-1]
        else:
            segments.append("" if name + part == _EMPTY else unquote(name + part))
            name = ""
    return "/".join(segments)


def _summary(key: str, path: Path) -> ObjectSummary:
    """Entry of a listing; an unreadable file has a made-up etag, and reading it raises the error."""
    try:
        with open_regular(path) as file:
            status, etag = os.fstat(file.fileno()), _etag_of(file)
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        status, etag = path.lstat(), ""
    return ObjectSummary(key, status.st_size, etag, status.st_mtime)


def _etag_of(file: BinaryIO) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while data := file.read(_READ_AT_A_TIME):
        digest.update(data)
    return digest.hexdigest()


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
