"""The pages beside the README: what they link to and what they tell people to type is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from scones_ml.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / ".github").rglob("*.md"))]
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Each link that is no URL is a file of the repository, as a git host follows it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", text)}
    assert [link for link in sorted(links) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".github/pull_request_template.md", ".ci/run"])
def test_make_has_the_targets_that_pages_name(name: str) -> None:
    """Every `make TARGET` that people are told to type is in the Makefile."""
    told = re.findall(r"(?:`|^\$ |^)make ((?:[a-z]+ ?)+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    named = {target for targets in told for target in targets.split()}
    assert named
    assert named <= TARGETS | {"parity"}


def test_the_changelog_keeps_its_form() -> None:
    """Each version has sections of Keep a Changelog in their order, each once, in lines of at most 120 characters."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if len(line) > 120] == []
    for version in text.split("\n## ")[1:]:
        sections = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert sections == [name for name in SECTIONS if name in sections], version[:20]


@pytest.mark.parametrize("page", CURRENT, ids=[str(page.relative_to(ROOT)) for page in CURRENT])
def test_pages_name_commands_and_options_that_exist(page: Path) -> None:
    """Every `scones` command that a page shows is one, with options that it has."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    shown = re.findall(r"^\$ scones (.*)$", text, re.MULTILINE) + re.findall(r"`scones ([^`]+)`", text)
    wrong = [line for line in shown if not is_command(re.sub(r" +#.*", "", line))]
    assert wrong == [], f"{page.name}: no such command or option"


def is_command(line: str) -> bool:
    """Whether the words of a command line name a command, and options that it has."""
    command: Any = get_command(app)
    words = [word.strip("[](),;.:") for word in re.split(r"[\s=|\\]+", line)]
    if not (words[0] in command.commands or words[0].isupper() or words[0].startswith("--")):
        return False
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    return {word for word in words if word.startswith("--")} <= options | {"--help", "--version"}
