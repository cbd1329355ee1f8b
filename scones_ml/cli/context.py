"""What a verb is given by its caller: where the backends come from that its options name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from scones_ml.plans import Run
    from scones_ml.ports import Backend

__all__ = ["Backends", "backends_of"]


class Backends(Protocol):
    """From a name to its backend; the module :mod:`scones_ml.backends` is one."""

    def backend(self, name: str, workspace: Path, run: Run | None = None) -> Backend:
        """See :func:`scones_ml.backends.backend`."""
        ...

    def planner(self, name: str, workspace: Path, run: Run | None = None) -> Backend:
        """See :func:`scones_ml.backends.planner`."""
        ...


def backends_of(context: typer.Context) -> Backends:
    """What ``main`` was called with; the real backends where that is nothing."""
    from scones_ml import backends

    given: Backends | None = context.obj
    return given or backends
