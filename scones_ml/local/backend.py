"""The four ports on this machine, its buckets, and where a workspace keeps what they leave."""

from __future__ import annotations

from pathlib import Path

from scones_ml.local.endpoint import LocalDeployer
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.trainer import LocalTrainer
from scones_ml.local.workflow import LocalWorkflowRunner
from scones_ml.ports import Buckets

__all__ = ["LocalBackend"]


class LocalBackend:
    """Everything below one workspace folder: ``buckets/``, ``captures/``, ``endpoints/``.

    Args:
        workspace: the folder; made when something is written.
    """

    def __init__(self, workspace: Path) -> None:
        self.buckets = Buckets("scones-input", "scones-output")
        self.store = DirectoryObjectStore(workspace / "buckets")
        self.trainer = LocalTrainer()
        self.deployer = LocalDeployer(workspace / "endpoints", workspace / "captures")
        self.runner = LocalWorkflowRunner(workspace / "buckets")
