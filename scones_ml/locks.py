"""File locks whose holder is reported by the kernel, not by a text in a file.

POSIX record locks (``fcntl``), the same on Linux and macOS and in Python 3.11 to 3.14:

- F_GETLK returns the holder. ``flock`` has no equivalent, and a recorded process number may be stale, copied or forged.
- A lock ends with its process in any case, and is not inherited by children or forks, unlike ``flock``.
- A lock is on the file, not on its name, so a copy is not locked. A link to a foreign file is rejected.
- A process loses a lock when it closes any handle of the file, and its threads share locks: so a table keeps this
  process's only handle of each file.

The last holder removes the file on release; a new holder checks that the file still has its name.

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
"""Default seconds to wait for another command."""
_NO_FILE = (errno.EINVAL, errno.EISDIR, errno.ELOOP)
_PAUSE = 0.02  # seconds between attempts


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lock; one of several if it is shared.

    Attributes:
        pid: process number; 0 or less for another machine or container.
        shared: whether the lock is shared.
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
    """Reset the table in a fork, which holds none of its parent's locks."""
    global _mutex
    _mutex = threading.Lock()
    _table.clear()


os.register_at_fork(after_in_child=_forked)


@contextlib.contextmanager
def locked(
    path: Path, busy: Callable[[Holder], Exception], *, shared: bool = False, patience: float = PATIENCE
) -> Iterator[None]:
    """Hold the lock on a file during the block; other processes and threads wait, or fail.

    Args:
        path: path of the file; created with its folder, and removed by the last holder.
        busy: factory of the error to raise if the lock is not released in time.
        shared: whether to take a shared lock.
        patience: seconds to wait.

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
    """Hold the lock on a file for the lifetime of this process, as proof of liveness.

    Args:
        path: path of the file, created by the parent process; a removed file is not created again.
        busy: factory of the error to raise if the lock is not released in time.
        patience: seconds to wait.

    Raises:
        ConfigurationError: the file does not exist, or cannot be locked.
    """
    _wait(_real(path), busy, shared=False, create=False, patience=patience)


def holds(path: Path) -> bool:
    """Whether this process holds the lock on the file that has this name now."""
    path = _real(path)
    with _mutex:
        return path in _table and _is_at(_table[path].file, path)


def holder_of(path: Path) -> Holder | None:
    """Process that holds the lock on a file; None without one, or for a link to a foreign file."""
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
    """Send a signal to the process that holds the lock on a file; False without one.

    Raises:
        ConfigurationError: the process may not be signalled.
    """
    holder = holder_of(path)
    if holder is None:
        return False
    if holder.pid <= 0:
        raise ConfigurationError(f"{holder} holds {path}: stop it there")
    signal_proven(holder.pid, sign, lambda: holder_of(path) == holder)
    return True


def signal_proven(pid: int, sign: signal.Signals, is_still: Callable[[], bool]) -> None:
    """Send a signal to a verified process, not to another one with a recycled PID.

    Exact with a process handle (Linux 5.3); elsewhere a race of microseconds remains, as with a start time.

    Args:
        pid: process number.
        sign: the signal.
        is_still: function that verifies the process.

    Raises:
        ConfigurationError: the process belongs to another user.
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
        raise ConfigurationError(f"process {pid} belongs to another user: ask them to stop it") from exc


def _process(pid: int) -> int | None:
    """Handle of a process; None if the system does not support it."""
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
    """Take the lock, or return its holder."""
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
        if held is None:  # in a fork, which never had it
            return
        if held.users > 1:
            _table[path] = replace(held, users=held.users - 1)
            return
        del _table[path]
        with contextlib.suppress(OSError):  # shared: the last holder removes the file
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
        except FileNotFoundError:  # the empty folder was removed meanwhile
            if not create:
                raise
    if not _is_plain(file):
        os.close(file)
        raise OSError(errno.EINVAL, "it is a link, or not a file")
    return file


def _lock(file: int, shared: bool) -> Holder | None:
    """Lock a file, or return the holder."""
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
    """Process that blocks a lock: F_GETLK fills in a ``struct flock``."""
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
    """Whether a file is regular without further hard links, which would share another workspace's lock."""
    status = os.fstat(file)
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def _real(path: Path) -> Path:
    """Canonical path of a file; a link in the last place is not followed."""
    return Path(os.path.realpath(path.parent), path.name)
