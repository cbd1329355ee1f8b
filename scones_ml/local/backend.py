"""The four ports on this machine, its buckets, and where a workspace keeps what they leave."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml.errors import DeploymentError
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.local.inventory import LocalInventory
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.trainer import LocalTrainer
from scones_ml.plans import Ledger, Run
from scones_ml.ports import Buckets, Check

if TYPE_CHECKING:
    from scones_ml.local.workflow import LocalWorkflowRunner

__all__ = ["LocalBackend"]


class LocalBackend:
    """Everything below one workspace folder: ``buckets/``, ``captures/``, ``endpoints/``, ``ledger.jsonl``.

    Args:
        workspace: the folder; made when something is written.
        run: that what is made belongs to; None starts a new one, which never expires.
    """

    place_name = "local"

    def __init__(self, workspace: Path, run: Run | None = None) -> None:
        self._workspace = workspace
        self.ledger = Ledger(workspace / "ledger.jsonl")
        self.current_run = run or Run.new()
        self.buckets = Buckets("scones-input", "scones-output")
        self.captures = str(workspace / "captures")
        self.store = DirectoryObjectStore(workspace / "buckets")
        self.trainer = LocalTrainer(self.ledger, self.current_run)
        self.deployer = LocalDeployer(workspace / "endpoints", workspace / "captures", self.ledger, self.current_run)
        self.inventory = LocalInventory(self.store, self.deployer, self.ledger)

    @cached_property
    def runner(self) -> LocalWorkflowRunner:
        """See :attr:`scones_ml.ports.Backend.runner`; the interpreter is imported by those who run."""
        from scones_ml.local.workflow import LocalWorkflowRunner

        return LocalWorkflowRunner(self._workspace / "buckets")

    def checks(self) -> Iterator[Check]:
        """See :meth:`scones_ml.ports.Backend.checks`: a port can be had, and every endpoint on record runs."""
        try:
            with socket.create_server(("127.0.0.1", 0)) as server:
                yield Check("ports", "ok", f"127.0.0.1 gives one, {server.getsockname()[1]}")
        except OSError as exc:
            yield Check("ports", "error", f"127.0.0.1 gives none: {exc.strerror}", "no endpoint can run here")
        try:
            running = {endpoint.name for endpoint in self.deployer.endpoints()}
        except DeploymentError as exc:
            yield Check("endpoints", "error", str(exc), "repair or remove the file it names")
            return
        unfinished = {one.name for one in self.ledger.resources() if one.kind == "endpoint" and one.state != "created"}
        for name in self.deployer.recorded():
            if name not in running and name not in unfinished:
                yield Check(f"endpoint {name}", "warning", "on record, but not running", "scones cleanup")
        yield Check("endpoints", "ok", ", ".join(sorted(running)) or "none runs")
