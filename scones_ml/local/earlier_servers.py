"""Servers of version 0.1.0, before locks, which keep running when the library is updated."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from scones_ml.errors import DeploymentError
from scones_ml.locks import signal_proven

__all__ = ["earlier_server_runs", "end_earlier_server"]


def earlier_server_runs(pid: int, log: Path) -> bool | None:
    """Whether a process is the server that writes this log: its standard error is that file.

    Args:
        pid: process id in the record.
        log: log file next to the record.

    Returns:
        None when the system cannot tell, as on macOS, but the process's command line matches.
    """
    try:
        held = Path(f"/proc/{pid}/fd/2").stat()
        return held.st_nlink == 1 and os.path.samestat(held, log.lstat())  # a hard-linked copy has no clear owner
    except (FileNotFoundError, NotADirectoryError):
        gone = Path("/proc/self").exists()
    except OSError:  # of another user
        gone = False
    return None if not gone and "scones_ml.inference" in _command_line(pid) else False


def end_earlier_server(pid: int, log: Path, seconds: float) -> None:
    """Stop the server that writes this log: SIGTERM, then SIGKILL.

    Args:
        pid: process id in the record.
        log: log file next to the record.
        seconds: time to wait after SIGTERM.

    Raises:
        DeploymentError: the process cannot be identified.
        ConfigurationError: the process belongs to another user.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        runs = earlier_server_runs(pid, log)
        if runs is None:
            raise DeploymentError(
                f"process {pid} may be the server in {log.with_suffix('.json')}, which an earlier version started "
                f"without proof: if it is yours, stop it (kill {pid}) and try again"
            )
        if not runs:
            return
        signal_proven(pid, sign, lambda: earlier_server_runs(pid, log) is True)
        deadline = time.monotonic() + seconds
        while earlier_server_runs(pid, log) and time.monotonic() < deadline:
            time.sleep(0.02)


def _command_line(pid: int) -> str:
    """A process's command line, which is no proof; empty when there is no such process."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listing = ["ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(listing, capture_output=True, text=True, check=False).stdout  # noqa: S603
