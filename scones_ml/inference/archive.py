"""Streaming reader of the files at the root of a ``model.tar.gz``, with bounded memory for untrusted archives.

Nothing is extracted, no link is followed, and decompression is limited to the size of a model.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Final

from scones_ml.printable import printable

__all__ = ["root_files"]

_PIECE: Final = 2**16  # bytes read and decompressed at a time
_BLOCK: Final = 512
_MOST_BYTES: Final = 400_000_000  # of the archive, compressed and decompressed
_MOST_ENTRIES: Final = 10_000
_PLAIN, _SPARSE = (b"0", b"\0", b"7"), b"S"
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders and pipes


def root_files(file: IO[bytes], limit_of: Callable[[str], int]) -> dict[str, bytes]:
    """Read the contents of selected files, by name; a leading ``./`` is ignored.

    Args:
        file: tar archive, gzip-compressed or not.
        limit_of: maximum size in bytes of a file of this name; 0 to skip it.

    Raises:
        ValueError: the archive is incomplete, or a selected file is too large, duplicate or not a regular file. The
            message continues after the archive's name.
    """
    stream = _Stream(file)
    found: dict[str, bytes] = {}
    for _ in range(_MOST_ENTRIES):
        block = stream.take_header()
        if not block.strip(b"\0"):
            return found
        entry = _entry(block)
        limit = limit_of(entry.name)
        if limit and entry.kind not in _PLAIN and entry.kind != b"5":
            raise ValueError(f"holds {entry.name!r}, which is not a regular file")
        if not limit or entry.kind not in _PLAIN:
            stream.skip(entry.size + -entry.size % _BLOCK)
            continue
        if entry.name in found:
            raise ValueError(f"holds {entry.name} twice")
        if entry.size > limit:
            raise ValueError(f"holds a {entry.name} of {entry.size:,} bytes, more than the {limit:,} allowed")
        found[entry.name] = stream.take(entry.size)
        stream.skip(-entry.size % _BLOCK)
    raise ValueError(f"holds more than {_MOST_ENTRIES:,} files")


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    size: int
    kind: bytes


def _entry(block: bytes) -> _Entry:
    try:
        if sum(block) - sum(block[148:156]) + 8 * ord(" ") != _number(block[148:156]):
            raise ValueError("wrong checksum")
        kind, size = block[156:157], _number(block[124:136])
    except ValueError as exc:
        raise ValueError("is not a tar archive") from exc
    if kind == _SPARSE:
        raise ValueError("holds a sparse file")
    name = _text(block[:100])
    if (
        block[257:262] == b"ustar" and block[345:346] != b"\0" and block[257:265] != b"ustar  \0"
    ):  # GNU stores times there
        name = f"{_text(block[345:500])}/{name}"
    return _Entry(name.removeprefix("./"), 0 if kind in _WITHOUT_DATA else size, kind)


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # binary, for numbers too large for octal digits
        return int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
    return int(field.strip(b"\0 ") or b"0", 8)


def _text(field: bytes) -> str:
    return printable(field.partition(b"\0")[0].decode(errors="surrogateescape"))


class _Stream:
    """Sequential reader of an archive's bytes; skipped parts are not held in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._pieces = _pieces(file)
        self._rest = b""
        self._left = _MOST_BYTES

    def take_header(self) -> bytes:
        """Read the next header block; empty at the end of an archive without an end marker."""
        first = self._next(_BLOCK, needed=self._left == _MOST_BYTES)
        return first + self.take(_BLOCK - len(first)) if first else b""

    def take(self, count: int) -> bytes:
        return b"".join(self._parts(count))

    def skip(self, count: int) -> None:
        for _ in self._parts(count):
            pass

    def _parts(self, count: int) -> Iterator[bytes]:
        while count:
            part = self._next(count)
            count -= len(part)
            yield part

    def _next(self, most: int, needed: bool = True) -> bytes:
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                if needed:
                    raise ValueError("is not a complete tar archive") from None
                return b""
        part, self._rest = self._rest[:most], self._rest[most:]
        self._left -= len(part)
        if self._left < 0:
            raise ValueError(f"decompresses to more than {_MOST_BYTES:,} bytes")
        return part


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    data = file.read(_PIECE)
    if not data.startswith(b"\x1f\x8b"):
        while data:
            yield data
            data = file.read(_PIECE)
        return
    inflater = zlib.decompressobj(wbits=31)  # gzip's header is parsed in pieces, too, since it may be long
    while not inflater.eof and file.tell() <= _MOST_BYTES:
        try:
            piece = inflater.decompress(data, _PIECE)
        except zlib.error as exc:
            raise ValueError("is not a complete tar.gz archive") from exc
        if not piece and not data:
            return
        yield piece
        data = inflater.unconsumed_tail or file.read(_PIECE)
