"""Proof of a server's life: a lock that it holds in the workspace it was started for."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from scones_ml.errors import DeploymentError
from scones_ml.locks import hold, holds

__all__ = ["prove_life"]

_STARTED_BEFORE = 2.0  # seconds that a server has to end whose deployment was killed
_LOOK = 1.0  # seconds between two looks at the file


def prove_life(file: Path, name: str) -> None:
    """Lock a file for as long as this process lives, and end when the file is removed.

    No second server of a name starts in a workspace, clean-up knows which process it ends, and no server outlives a
    workspace that somebody deletes: nobody would find it.

    Args:
        file: made by whoever starts the server.
        name: of the endpoint.

    Raises:
        DeploymentError: another process serves the endpoint.
        ConfigurationError: the file is gone, or cannot be locked.
    """
    hold(file, lambda holder: DeploymentError(f"endpoint {name} is served by {holder} already"), _STARTED_BEFORE)
    threading.Thread(target=_end_without, args=(file,), daemon=True).start()


def _end_without(file: Path) -> None:
    while holds(file):
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
