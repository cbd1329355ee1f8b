"""``scones doctor``."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.options import Json, On, Workspace
from scones_ml.wording import counted

__all__ = ["doctor"]

Data = Annotated[Path | None, typer.Option("--data", help="Folder of images to check against the limits.")]
_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(
    context: typer.Context,
    data: Data = None,
    on: On = "local",
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Check this machine or account, with a remedy per problem; exit code 1 on a problem."""
    from scones_ml.lifecycle.doctor import examine

    checks = list(examine(backends_of(context).backend(on, workspace), workspace, data, datetime.now(UTC)))
    counts = Counter(check.level for check in checks)
    if json:
        terminal.print_json([dataclasses.asdict(check) for check in checks])
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            level, name = f"{check.level:<8}", f"{check.name:<{width}}  "
            terminal.out.print((level, _STYLES[check.level]), name, check.found, hang=len(level + name))
            if check.remedy:
                blank = " " * len(level + name)
                terminal.out.print(blank, f"-> {check.remedy}", hang=len(blank) + len("-> "))
        problems = f"{counted(counts['warning'], 'warning')}, {counted(counts['error'], 'error')}"
        terminal.say(f"{counts['ok']} ok, {problems}")
    if counts["error"]:
        raise typer.Exit(1)
