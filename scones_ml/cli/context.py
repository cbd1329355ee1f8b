"""Backend factory that a verb gets from its caller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from scones_ml.plans import Run
    from scones_ml.ports import Backend

__all__ = ["Backends", "backends_of"]


class Backends(Protocol):
    """Factory of backends by name, such as the module :mod:`scones_ml.backends`."""

    def backend(self, name: str, workspace: Path, run: Run | None = None) -> Backend:
        """See :func:`scones_ml.backends.backend`."""
        ...

    def planner(self, name: str, workspace: Path, run: Run | None = None) -> Backend:
        """See :func:`scones_ml.backends.planner`."""
        ...


def backends_of(context: typer.Context) -> Backends:
    """The factory passed to ``main``, or the real backends."""
    from scones_ml import backends

    given: Backends | None = context.obj
    return given or backends
