"""The four ports on this machine, its buckets, and where a workspace keeps what they leave."""

from __future__ import annotations

from pathlib import Path

from scones_ml.ledger import Ledger
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.local.inventory import LocalInventory
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.trainer import LocalTrainer
from scones_ml.local.workflow import LocalWorkflowRunner
from scones_ml.plans import Run
from scones_ml.ports import Buckets

__all__ = ["LocalBackend"]


class LocalBackend:
    """Everything below one workspace folder: ``buckets/``, ``captures/``, ``endpoints/``, ``ledger.jsonl``.

    Args:
        workspace: the folder; made when something is written.
        run: that what is made belongs to; None starts a new one, which never expires.
    """

    place_name = "local"

    def __init__(self, workspace: Path, run: Run | None = None) -> None:
        self.ledger = Ledger(workspace / "ledger.jsonl")
        self.current_run = run or Run.new()
        self.buckets = Buckets("scones-input", "scones-output")
        self.captures = str(workspace / "captures")
        self.store = DirectoryObjectStore(workspace / "buckets")
        self.trainer = LocalTrainer(self.ledger, self.current_run)
        self.deployer = LocalDeployer(workspace / "endpoints", workspace / "captures", self.ledger, self.current_run)
        self.runner = LocalWorkflowRunner(workspace / "buckets")
        self.inventory = LocalInventory(self.store, self.deployer, self.ledger)
