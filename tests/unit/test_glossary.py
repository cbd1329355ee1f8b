"""docs/glossary.md: its names exist in the code, and the pages use its words."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from scones_ml.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ROW = re.compile(r"^\| (?P<term>[a-z][\w -]*) \| (?P<meaning>[^|]+) \|(?P<code>[^|]*)\|$", re.MULTILINE)
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = [row.groupdict() for row in ROW.finditer(GLOSSARY) if row["term"] != "term"]

DISCOURAGED = {
    "picture": "image",
    "verdict": "annotation or outcome",
    "certainty": "confidence",
    "sureness": "confidence",
    "category": "class",
    "by chance": "at random",
    "by lot": "at random",
    "anew": "again",
    "that which": "what",
    "tells of": "reports",
    "tell of": "report",
    "dearest": "most expensive",
    "asks nobody": "makes no calls",
    "of everything random": "random seed",
    "let through": "accepted",
    "lets through": "accepts",
    "surest": "most confident",
    "doubt": "uncertainty",
    "teaches": "trains",
    "asked of": "applied to",
    "torn apart": "split",
    "in every door": "everywhere",
    "laid upon": "aligned with",
    "hears": "is called with",
    "is told": "is called with",
    "are told": "are called with",
    "speaks": "supports",
    "whosever": "ours or not",
    "half-made": "unfinished",
    "goes off": "is triggered",
    "taken on": "assumed",
    "takes on": "assumes",
    "held against": "compared with",
    "somebody": "someone",
    "kindly": "with SIGTERM",
    "nobody": "no one",
    "whoever": "everyone who",
    "tells? apart": "distinguish",
    "hand(s|ed)? on": "pass on",
    "mended": "corrected",
    "least sure": "least confident",
    "as it should be": "correct",
    "time-out": "timeout",
}
"""Words that pages and docstrings avoid, code spans and blocks aside, with the word to use instead."""

PLAIN = (
    "asl",
    "aws",
    "backbones",
    "cost",
    "dataset",
    "evaluation",
    "events",
    "heads",
    "images",
    "inference",
    "infrastructure",
    "lifecycle",
    "local",
    "monitoring",
    "packaging",
    "plans",
    "ports",
    "reports",
    "review",
    "sagemaker",
    "testing",
    "training",
    "workflows",
)
"""Packages whose docstrings are held to these words, too."""


def prose(page: str) -> str:
    """A page without code and the targets of its links."""
    without_blocks = re.sub(r"^```.*?^```|<!--.*?-->", "", page, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|^\[[^\]]+\]: .*$", " ", without_blocks, flags=re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=[row["term"] for row in ROWS])
def test_each_name_in_the_glossary_exists(row: dict[str, str]) -> None:
    """A term's name in the code can be imported, or is a command with that option."""
    for name in re.findall(r"`([^`]+)`", row["code"]):
        assert exists(name), f"docs/glossary.md: {row['term']}: {name} does not exist: name what it is called now"


def test_the_glossary_is_whole() -> None:
    """Every row of its tables is read above, no term stands twice, and each meaning is one or two sentences."""
    tabled = [line for line in GLOSSARY.splitlines() if line.startswith("| ") and not line.startswith("| term ")]
    assert len(ROWS) == len(tabled) >= 60
    assert len({row["term"] for row in ROWS}) == len(ROWS)
    assert [row["term"] for row in ROWS if not re.fullmatch(r"[A-Z][^.]*\.( [A-Z][^.]*\.)?", row["meaning"])] == []


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_pages_use_the_words_of_the_glossary(page: Path) -> None:
    """No page uses another word for what the glossary names."""
    text = prose(page.read_text(encoding="utf-8"))
    found = {word: say for word, say in DISCOURAGED.items() if re.search(rf"\b{word}s?\b", text, re.IGNORECASE)}
    assert found == {}, f"{page.name}: use the words of docs/glossary.md"


@pytest.mark.parametrize("package", PLAIN)
def test_docstrings_use_the_words_of_the_glossary(package: str) -> None:
    """No docstring of these packages uses another word for what the glossary names."""
    found = {}
    for module in sorted((ROOT / "scones_ml" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                plain = re.sub(r"`+[^`]*`+|^(>>>|\.\.\.).*|^ +\w+: ", " ", text, flags=re.MULTILINE)
                said = [word for word in DISCOURAGED if re.search(rf"\b{word}s?\b", plain, re.IGNORECASE)]
                found |= {f"{module.relative_to(ROOT)}: {getattr(node, 'name', 'module')}": said} if said else {}
    assert found == {}, "use the words of docs/glossary.md"


@cache
def commands() -> dict[str, Any]:
    """Every command by its name."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands


def exists(name: str) -> bool:
    """Whether a dotted name can be imported, fields of classes among them, or a command has its option."""
    if name.startswith("scones "):
        command, *options = name.split()[1:]
        known = commands().get(command)
        return known is not None and all(any(option in one.opts for one in known.params) for option in options)
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            fields = {field for base in getattr(found, "__mro__", ()) for field in inspect.get_annotations(base)}
            if not hasattr(found, part):
                return part in fields and part == parts[-1]
            found = getattr(found, part)
        return True
    return False
