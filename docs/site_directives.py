"""The site's two directives: ``commands`` and ``public``, whose text comes from the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import public_api
import typer
from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from typer.core import TyperGroup
from typer.main import get_command

from scones_ml.cli.app import app

__all__ = ["Commands", "Public", "commands", "public"]


class Commands(SphinxDirective):
    """The whole command line, as sections of the page that it stands in."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Parse the text of :func:`commands` with the page's own parser."""
        return self.parse_text_to_nodes("\n".join(commands()), allow_section_headings=True)


class Public(SphinxDirective):
    """The public names of one module, by kind."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Leave to autodoc what it can find."""
        lines = ["```{eval-rst}", *public(self.arguments[0]), "```"]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


_HEADINGS: Final = {
    "function": "Functions",
    "class": "Classes",
    "error": "Errors",
    "type": "Types",
    "data": "Constants",
}


def public(module: str) -> Iterator[str]:
    """The lines of one page of the reference, in reStructuredText."""
    yield from (f".. automodule:: {module}", "")
    names = list(public_api.names(module))
    for kind, heading in _HEADINGS.items():
        found = [name for name in names if name.kind == kind]
        if found:
            yield from (f".. rubric:: {heading}", "")
        for name in found:
            yield from _name(name, names)


def _name(name: public_api.Name, names: list[public_api.Name]) -> Iterator[str]:
    if name.home:
        yield from (f"``{name.path}`` is :py:obj:`{name.home}`.", "")
    elif name.kind == "function":
        yield from (f".. autofunction:: {name.path}", "")
    elif name.kind in ("class", "error"):
        members = [one.path.rpartition(".")[2] for one in names if one.path.startswith(f"{name.path}.")]
        yield from (f".. autoclass:: {name.path}", *([f"   :members: {', '.join(members)}"] if members else []), "")
    else:
        directive, option = ("py:type", "canonical") if name.kind == "type" else ("py:data", "type")
        yield f".. {directive}:: {name.path.rpartition('.')[2]}"  # automodule has set the module
        if name.signature:
            yield f"   :{option}: {name.signature.lstrip(' =:')}"
        yield from ("", *(f"   {line}" for line in name.doc.splitlines()), "")


def commands() -> Iterator[str]:
    """The lines of the command reference, in Markdown."""
    root = get_command(app)
    if not isinstance(root, TyperGroup):
        raise TypeError("scones is a group of commands")
    yield from _group(root, typer.Context(root, info_name="scones"))


def _group(group: TyperGroup, outer: typer.Context) -> Iterator[str]:
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=name, parent=outer)
        if isinstance(command, TyperGroup):
            yield from _group(command, context)
        else:
            yield from _command(command, context)


def _command(command: Any, context: typer.Context) -> Iterator[str]:
    yield from (f"## {context.command_path}", "", _text(command.help or ""), "")
    yield from ("```text", command.get_usage(context).removeprefix("Usage: "), "```", "")
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            if record[0] == "--help":
                continue
            heading = "Arguments" if parameter.param_type_name == "argument" else "Options"
            sections.setdefault(getattr(parameter, "rich_help_panel", None) or heading, []).append(record)
    for heading, rows in sections.items():
        yield from (f"| {heading} | |", "|---|---|")
        yield from (f"| `{_cell(name)}` | {_cell(_text(text))} |" for name, text in rows)
        yield ""


def _text(text: str) -> str:
    """Plain text as Markdown: only backquotes keep a meaning."""
    return re.sub(r"([*_<>\[\]])(?=[^`]*(?:`[^`]*`[^`]*)*$)", r"\\\1", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
