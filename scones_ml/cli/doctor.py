"""``scones doctor``."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from scones_ml import backends
from scones_ml.cli import terminal
from scones_ml.cli.options import Json, On, Workspace

__all__ = ["doctor"]

Data = Annotated[Path | None, typer.Option("--data", help="A folder of images to hold against the limits.")]
_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(
    data: Data = None,
    on: On = "local",
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Whether all is as it should be, line by line, each with its remedy; exits with 1 when something is wrong."""
    from scones_ml.lifecycle.doctor import examine

    checks = list(examine(backends.backend(on, workspace), workspace, data, datetime.now(UTC)))
    counts = Counter(check.level for check in checks)
    if json:
        terminal.print_json([dataclasses.asdict(check) for check in checks])
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            line = Text(f"{check.level:<8}", style=_STYLES[check.level])
            line.append(f"{check.name:<{width}}  {check.found}", style="not bold default")
            terminal.out.print(line)
            if check.remedy:
                terminal.out.print(f"        {'':<{width}}  -> {check.remedy}")
        terminal.say(f"{counts['ok']} ok, {counts['warning']} warnings, {counts['error']} errors")
    if counts["error"]:
        raise typer.Exit(1)
