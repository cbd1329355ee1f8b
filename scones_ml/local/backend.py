"""Backend of this machine: its ports, in one workspace folder."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml.errors import SconesError
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.local.in_use import buckets_in_use
from scones_ml.local.inventory import LocalInventory
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.trainer import LocalTrainer
from scones_ml.local.workspace import BUCKETS, WorkspaceObjectStore
from scones_ml.plans import Ledger, Run
from scones_ml.ports import Check

if TYPE_CHECKING:
    from scones_ml.local.bulk import LocalBulkRunner
    from scones_ml.local.workflow import LocalWorkflowRunner
    from scones_ml.ports import ObjectStore

__all__ = ["LocalBackend"]


class LocalBackend:
    """Backend in one workspace folder: ``buckets/``, ``captures/``, ``endpoints/``, ``ledger.jsonl``.

    Args:
        workspace: the folder; created on the first write.
        run: run that new resources are recorded under; None starts a new one, which never expires.
        elsewhere: creates the store of buckets that are not on this machine; None for no such buckets.
    """

    place_name = "local"

    def __init__(
        self, workspace: Path, run: Run | None = None, elsewhere: Callable[[], ObjectStore] | None = None
    ) -> None:
        self._workspace = workspace
        self.ledger = Ledger(workspace / "ledger.jsonl")
        self.current_run = run or Run.new()
        self.buckets = BUCKETS
        self.captures = str(workspace / "captures")
        self.store = WorkspaceObjectStore(workspace / "buckets", elsewhere)
        self.trainer = LocalTrainer(self.ledger, self.current_run)
        self.deployer = LocalDeployer(workspace / "endpoints", workspace / "captures", self.ledger, self.current_run)
        objects = DirectoryObjectStore(workspace / "buckets")
        self.inventory = LocalInventory(workspace, objects, self.deployer, self.ledger)

    @cached_property
    def runner(self) -> LocalWorkflowRunner:
        """See :attr:`scones_ml.ports.Backend.runner`; the interpreter is imported on first use."""
        from scones_ml.local.workflow import LocalWorkflowRunner

        return LocalWorkflowRunner(self._workspace / "buckets")

    @cached_property
    def bulk(self) -> LocalBulkRunner:
        """See :attr:`scones_ml.ports.Backend.bulk`; imported on first use, too."""
        from scones_ml.local.bulk import LocalBulkRunner

        return LocalBulkRunner(self.store)

    @contextmanager
    def using(self, endpoint: str | None = None) -> Iterator[None]:
        """See :meth:`scones_ml.ports.Backend.using`."""
        with buckets_in_use(self._workspace), self.deployer.using(endpoint) if endpoint else nullcontext():
            yield

    def checks(self) -> Iterator[Check]:
        """See :meth:`scones_ml.ports.Backend.checks`: a port is free, and every recorded endpoint runs."""
        try:
            with socket.create_server(("127.0.0.1", 0)) as server:
                yield Check("ports", "ok", f"127.0.0.1 has a free port, {server.getsockname()[1]}")
        except OSError as exc:
            yield Check("ports", "error", f"127.0.0.1 has no free port: {exc.strerror}", "no endpoint can run here")
        try:
            running, recorded = self.deployer.running(), self.ledger.resources()
            self.deployer.endpoints()
        except SconesError as exc:
            yield Check("endpoints", "error", str(exc))
            return
        unfinished = {one.name for one in recorded if one.kind == "endpoint" and one.state != "created"}
        for name in self.deployer.recorded():
            if name not in running and name not in unfinished:
                yield Check(f"endpoint {name}", "warning", "on record, but not running", "scones cleanup")
        yield Check("endpoints", "ok", ", ".join(sorted(running)) or "none running")
