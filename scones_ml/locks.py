"""Locks on files: the kernel, not a text in a file, says which process holds one, and that it lives.

POSIX record locks (``fcntl``), the same on Linux and macOS and in Python 3.11 to 3.14:

- F_GETLK names the holder. ``flock`` has no such question, and a process number that is written down may be stale,
  copied or forged.
- A lock ends with its process, however that ends, and is inherited by no child and no fork; a ``flock`` would be.
- A lock is on the file, not on its name: nobody holds that of a copy. A link to somebody else's file is refused.
- A process loses a lock when it closes any handle of the file, and its threads are not kept apart: so a table holds the
  one handle that this process has of each file.

Who releases a lock last removes the file; who gets a lock looks whether the file still bears its name.

Internal: may change without notice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from scones_ml.errors import ConfigurationError

__all__ = ["PATIENCE", "Holder", "hold", "holder_of", "holds", "locked", "signal_holder", "signal_proven"]

PATIENCE = 5.0
"""Seconds that a command waits for another one: most are done by then, and nobody wonders yet."""
_NO_FILE = (errno.EINVAL, errno.EISDIR, errno.ELOOP)
_PAUSE = 0.02  # seconds between two tries


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock; one of many when it is shared.

    Attributes:
        pid: its number; 0 or less when it is on another machine, or in another container.
        shared: whether it lets others share.
    """

    pid: int
    shared: bool

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid > 0 else "a process of another machine or container"


@dataclass(frozen=True, slots=True)
class _Held:
    file: int
    shared: bool
    users: int = 1


_table: dict[Path, _Held] = {}
_mutex = threading.Lock()


def _forked() -> None:
    """A fork holds none of its parent's locks."""
    global _mutex
    _mutex = threading.Lock()
    _table.clear()


os.register_at_fork(after_in_child=_forked)


@contextlib.contextmanager
def locked(
    path: Path, busy: Callable[[Holder], Exception], *, shared: bool = False, patience: float = PATIENCE
) -> Iterator[None]:
    """Hold the lock on a file during the block; other processes and other threads wait, or fail.

    Args:
        path: of the file; made with its folder, and removed by whoever leaves last.
        busy: the error to raise when others do not let go.
        shared: whether others may share.
        patience: seconds to wait for others.

    Raises:
        ConfigurationError: the file cannot be locked.
    """
    path = _real(path)
    _wait(path, busy, shared=shared, create=True, patience=patience)
    try:
        yield
    finally:
        _release(path)


def hold(path: Path, busy: Callable[[Holder], Exception], patience: float = PATIENCE) -> None:
    """Hold the lock on a file for as long as this process lives: proof of its life.

    Args:
        path: of the file, which whoever starts this process makes: one that was removed is not to come back.
        busy: the error to raise when another process does not let go.
        patience: seconds to wait for it.

    Raises:
        ConfigurationError: the file is not there, or cannot be locked.
    """
    _wait(_real(path), busy, shared=False, create=False, patience=patience)


def holds(path: Path) -> bool:
    """Whether this process holds the file that bears this name now; another one, or none, when it was removed."""
    path = _real(path)
    with _mutex:
        return path in _table and _is_at(_table[path].file, path)


def holder_of(path: Path) -> Holder | None:
    """The process that holds the lock on a file; None when none does, or when it is a link to somebody else's file."""
    path = _real(path)
    with _mutex:
        if held := _table.get(path):
            return Holder(os.getpid(), held.shared)
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return _holder(file) if _is_plain(file) else None
        finally:
            os.close(file)


def signal_holder(path: Path, sign: signal.Signals) -> bool:
    """Send a signal to the process that holds the lock on a file; False when none does.

    Raises:
        ConfigurationError: it is not ours to signal.
    """
    holder = holder_of(path)
    if holder is None:
        return False
    if holder.pid <= 0:
        raise ConfigurationError(f"{holder} holds {path}: end it there")
    signal_proven(holder.pid, sign, lambda: holder_of(path) == holder)
    return True


def signal_proven(pid: int, sign: signal.Signals, is_still: Callable[[], bool]) -> None:
    """Send a signal to a process that proves itself, never to one that got its number meanwhile.

    A handle on the process (Linux 5.3) makes that exact; elsewhere microseconds are left, as a start time would leave.

    Args:
        pid: its number.
        sign: the signal.
        is_still: whether the process of this number is the one.

    Raises:
        ConfigurationError: it belongs to another user.
    """
    try:
        process = _process(pid)
        try:
            if is_still():
                if process is None:
                    os.kill(pid, sign)
                else:
                    signal.pidfd_send_signal(process, sign)
        finally:
            if process is not None:
                os.close(process)
    except ProcessLookupError:
        pass
    except PermissionError as exc:
        raise ConfigurationError(f"process {pid} belongs to another user: let them end it") from exc


def _process(pid: int) -> int | None:
    """A handle on a process; None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        return None


def _wait(path: Path, busy: Callable[[Holder], Exception], *, shared: bool, create: bool, patience: float) -> None:
    deadline = time.monotonic() + patience
    try:
        while holder := _take(path, shared, create):
            if time.monotonic() >= deadline:
                raise busy(holder)
            time.sleep(_PAUSE)
    except OSError as exc:
        remedy = "move it away" if exc.errno in _NO_FILE else "its folder must be writable"
        raise ConfigurationError(f"{path} cannot be locked: {exc.strerror}; {remedy}") from exc


def _take(path: Path, shared: bool, create: bool) -> Holder | None:
    """Take the lock, or say who has it."""
    with _mutex:
        if held := _table.get(path):
            if not (shared and held.shared):
                return Holder(os.getpid(), held.shared)
            _table[path] = replace(held, users=held.users + 1)
            return None
        while True:
            file = _open(path, create)
            try:
                holder = _lock(file, shared)
                if holder is None and _is_at(file, path):
                    _table[path], file = _Held(file, shared), -1
                    return None
            finally:
                if file >= 0:
                    os.close(file)
            if holder:
                return holder


def _release(path: Path) -> None:
    with _mutex:
        held = _table.get(path)
        if held is None:  # this is a fork, which never had it
            return
        if held.users > 1:
            _table[path] = replace(held, users=held.users - 1)
            return
        del _table[path]
        with contextlib.suppress(OSError):  # others share it: the last of them removes the file
            fcntl.lockf(held.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(held.file, path):
                path.unlink()
        os.close(held.file)


def _open(path: Path, create: bool) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if create else 0)
    while True:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, flags, 0o644)
            break
        except FileNotFoundError:  # the folder was empty, and removed just now
            if not create:
                raise
    if not _is_plain(file):
        os.close(file)
        raise OSError(errno.EINVAL, "it is a link, or no file")
    return file


def _lock(file: int, shared: bool) -> Holder | None:
    """Lock a file, or say who has."""
    while True:
        try:
            fcntl.lockf(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if holder := _holder(file):
                return holder
        else:
            return None


def _holder(file: int) -> Holder | None:
    """Who keeps this process from locking a file: F_GETLK fills in a ``struct flock``."""
    if sys.platform == "darwin":
        asked = struct.pack("qqihh", 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
        _, _, pid, kind, _ = struct.unpack("qqihh", fcntl.fcntl(file, fcntl.F_GETLK, asked))
    else:
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else Holder(pid, kind == fcntl.F_RDLCK)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except OSError:
        return False


def _is_plain(file: int) -> bool:
    """Whether it is a regular file without a second name: a hard link would share the lock of another workspace."""
    status = os.fstat(file)
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def _real(path: Path) -> Path:
    """One name for each file; a link in its own place is not followed."""
    return Path(os.path.realpath(path.parent), path.name)
