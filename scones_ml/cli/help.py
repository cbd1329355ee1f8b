"""How help looks: plain text in aligned columns, complete sentences, options that belong together under one heading.

typer draws frames with rich, which takes longer to import than a verb takes to answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["Formatter", "Group", "VerbCommand"]


class Formatter(Protocol):
    """What typer collects a help text in."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """A heading, and what is written within the block indented below it."""
        ...

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Terms, and beside each its explanation, wrapped."""
        ...


class VerbCommand(TyperCommand):
    """A verb: options with a ``rich_help_panel`` come under that heading; typer itself does so with rich alone."""

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        """Write the arguments, the options, and those below headings of their own."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            heading = "Arguments" if parameter.param_type_name == "argument" else "Options"
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or heading, []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


class Group(TyperGroup):
    """Several verbs, each with its whole first sentence; typer itself cuts it to one line."""

    def help_lines(self) -> Iterator[tuple[str, str]]:
        """Names of verbs, and what each does."""
        for name, command in self.commands.items():
            yield name, command.get_short_help_str(limit=1000)

    def format_commands(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]  # noqa: ARG002
        """Write the list of verbs."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.help_lines()))

    def get_help_option(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Typer's own, whose value is never looked at: were it None, typer would import pydantic to coerce it."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option
