"""Liveness of a server, as a lock in the workspace it was started for."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from scones_ml.errors import DeploymentError
from scones_ml.locks import hold, holds

__all__ = ["prove_life"]

_STARTED_BEFORE = 2.0  # seconds for a server of a killed deployment to stop
_LOOK = 1.0  # seconds between checks of the file


def prove_life(file: Path, name: str) -> None:
    """Lock a file for the lifetime of this process, and exit when the file is removed.

    So a workspace has one server per name, clean-up can identify its process, and no server outlives a deleted
    workspace.

    Args:
        file: lock file, created by the parent process.
        name: name of the endpoint.

    Raises:
        DeploymentError: another process serves the endpoint.
        ConfigurationError: the file is missing, or cannot be locked.
    """
    hold(file, lambda holder: DeploymentError(f"endpoint {name} is served by {holder} already"), _STARTED_BEFORE)
    threading.Thread(target=_end_without, args=(file,), daemon=True).start()


def _end_without(file: Path) -> None:
    while holds(file):
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
