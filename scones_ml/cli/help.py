"""Help formatting: plain text in aligned columns, complete sentences, grouped options.

Typer's frames need rich, whose import takes longer than most verbs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["Formatter", "Group", "VerbCommand"]


class Formatter(Protocol):
    """Help text buffer for typer."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """Write a heading and indent the block below it."""
        ...

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write terms with wrapped explanations beside them."""
        ...


class VerbCommand(TyperCommand):
    """Command whose ``rich_help_panel`` options get headings without rich."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the command line; each error knows its command, which click does not tell all of them."""
        try:
            return super().parse_args(ctx, args)
        except Exception as exc:
            if hasattr(exc, "ctx") and exc.ctx is None:
                exc.ctx = ctx
            raise

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        """Write arguments, options and option groups."""
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
    """Command group that lists each verb with its whole first sentence."""

    def help_lines(self) -> Iterator[tuple[str, str]]:
        """Verb names and their help lines."""
        for name, command in self.commands.items():
            yield name, command.get_short_help_str(limit=1000)

    def format_commands(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]  # noqa: ARG002
        """Write the list of verbs."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.help_lines()))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Find the verb that is called, or name the one that was probably meant."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            from scones_ml.cli.usage import closest

            meant = closest(args[0], self.commands)
            ctx.fail(f"no command {args[0]!r}" + (f": did you mean `{ctx.command_path} {meant}`?" if meant else ""))
        return super().resolve_command(ctx, args)

    def get_help_option(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Typer's help option with a non-None default, since None makes typer import pydantic."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option
