"""The pages beside the README: what they link to and what they tell people to type is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / ".github").rglob("*.md"))]
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
