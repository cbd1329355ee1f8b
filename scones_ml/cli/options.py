"""Options shared by verbs."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scones_ml.errors import ConfigurationError

if TYPE_CHECKING:
    from scones_ml.plans import Run

__all__ = [
    "Classes",
    "DryRun",
    "EndpointName",
    "Html",
    "ImageSize",
    "Json",
    "On",
    "Seed",
    "Threads",
    "TimeToLive",
    "Workspace",
    "Yes",
    "names",
    "new_run",
    "on_this_machine",
    "seconds",
    "span",
]


def _folder(workspace: Path) -> Path:
    if workspace.exists() and not workspace.is_dir():
        raise ConfigurationError(f"{workspace} is not a folder: choose another --workspace")
    return workspace


On = Annotated[Literal["local", "aws"], typer.Option("--on", help="Run on this machine or on AWS.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")]
EndpointName = Annotated[str | None, typer.Option("--endpoint", help="Endpoint to use when there are several.")]
Html = Annotated[Path | None, typer.Option("--html", help="Also write an HTML page to this file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
TimeToLive = Annotated[
    str | None, typer.Option("--ttl", help="Intended lifetime: 30m, 2h, 7d; `scones doctor` reports what outlives it.")
]
Workspace = Annotated[
    Path, typer.Option("--workspace", callback=_folder, help="Folder for models, runs, results and records.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Replace earlier results without asking.")]
Classes = Annotated[str | None, typer.Option("--classes", help="Class names, comma-separated (default: all).")]
ImageSize = Annotated[
    int | None,
    typer.Option(
        "--image-size",
        min=8,
        max=4096,
        help="Shorter side of each resized image, in pixels (default: 224 for photographs, 32 for thumbnails).",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads for training.")]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds


def seconds(text: str, option: str) -> float:
    """Parse a duration in seconds: ``"5m"`` as 300.0.

    Raises:
        ConfigurationError: not a duration above 0; names the option.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None or not float(match[1]):
        raise ConfigurationError(f"{option} {text!r}: give it as 30s, 5m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def new_run(ttl: str | None) -> Run:
    """New run, with the lifetime of ``--ttl`` if given."""
    from scones_ml.plans import Run

    return Run.new(None if ttl is None else timedelta(seconds=seconds(ttl, "--ttl")))


def span(time: timedelta) -> str:
    """Duration in its largest whole unit: ``"2 h"``."""
    total = max(0.0, time.total_seconds())
    unit = next((unit for unit in ("d", "h", "m") if total >= _UNITS[unit]), "s")
    return f"{total / _UNITS[unit]:.0f} {'min' if unit == 'm' else unit}"


def on_this_machine(path: Path | None) -> Path | None:
    """A data set's folder.

    Raises:
        ConfigurationError: it is on S3.
    """
    if str(path).startswith("s3:/"):
        uri = str(path).replace("s3:/", "s3://", 1)  # a path has no empty part
        raise ConfigurationError(
            f"{uri} is on S3, and a staged data set of this machine is read: "
            f"`scones stage {uri} DATA` makes one of what is there"
        )
    return path


def names(text: str | None) -> tuple[str, ...] | None:
    """Split a comma-separated list: ``"a, b"`` as ``("a", "b")``."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
