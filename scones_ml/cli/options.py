"""The options that verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["Classes", "Html", "Json", "On", "Seed", "Threads", "Workspace", "names"]

On = Annotated[Literal["local", "aws"], typer.Option("--on", help="Where to run.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page, too.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Workspace = Annotated[Path, typer.Option("--workspace", help="Folder for what commands leave behind.")]
Classes = Annotated[str | None, typer.Option("--classes", help="Class names, comma-separated; all when not given.")]
Seed = Annotated[int, typer.Option("--seed", help="Of everything random.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads for training.")]


def names(text: str | None) -> tuple[str, ...] | None:
    """``"a, b"`` as ``("a", "b")``."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
