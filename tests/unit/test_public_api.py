"""The package as its users import it."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import scones_ml

PACKAGE = Path(scones_ml.__file__).parent
MODULES = sorted(
    ".".join(["scones_ml", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)
ROOT = Path(__file__).parents[2]
EXAMPLES = [path for suffix in ("py", "ipynb") for path in sorted((ROOT / "examples").glob(f"*.{suffix}"))]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *EXAMPLES]
INTERNAL = {
    "backbones.md": {"backbones"},
    "deploy.md": {"aws", "sagemaker"},
    "review.md": {"review"},
    "testing.md": {"backends"},
    "built_in_algorithm.py": {"aws", "backends", "sagemaker"},
    "close_the_loop.py": {"backends", "lifecycle", "ports", "review"},
    "threshold_pictures.py": {"evaluation", "lifecycle", "reports"},
}
"""Pages and examples that still use something internal, each with the internal packages that it uses."""
CORE = [
    "errors",
    "events",
    "settings",
    "ports",
    "images",
    "captures",
    "steps",
    "asl",
    "workflows",
    "backends",
    "infrastructure",
]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_all_is_complete(name: str) -> None:
    """__all__ names what a module defines for others, and nothing that is not there (the linter keeps it sorted)."""
    module = importlib.import_module(name)
    path = Path(str(module.__file__))
    if path.name == "__init__.py" and not hasattr(module, "__all__"):
        assert len(ast.parse(path.read_text()).body) == 1, "a package without __all__ holds a docstring alone"
        return
    for exported in module.__all__:
        assert getattr(module, exported) is not None
    if path.name != "__init__.py":
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined = {
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
        }
        assert defined <= set(module.__all__), name


def test_the_public_names_load_on_use() -> None:
    """Every name of scones_ml.__all__ can be had from the package itself."""
    for name in scones_ml.__all__:
        assert getattr(scones_ml, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = scones_ml.nothing


@pytest.fixture(scope="module")
def public_api() -> ModuleType:
    """docs/public_api.py, which lists the public names."""
    spec = importlib.util.spec_from_file_location("public_api", ROOT / "docs" / "public_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["public_api"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def public_names(public_api: ModuleType) -> list[Any]:
    """Everything in the listing."""
    return [name for module in public_api.MODULES for name in public_api.names(module)]


def test_the_listing_of_the_api_is_current(public_api: ModuleType) -> None:
    """docs/api.txt has each public name with its signature as the code has it."""
    held, found = public_api.LISTING.read_text(encoding="utf-8").splitlines(), public_api.listing().splitlines()
    changes = [line for line in difflib.ndiff(held, found) if line[0] in "-+"]
    assert changes == [], "the public API has changed; if it is meant to: python docs/public_api.py"


def test_every_public_name_is_documented(public_names: list[Any]) -> None:
    """Each public name, method and property has a docstring."""
    assert [name.path for name in public_names if not name.doc.strip()] == []


def test_what_is_not_public_says_so(public_api: ModuleType) -> None:
    """The docstring of each package and module says whether it is public, or what of it is."""
    tops = [name for name in MODULES if name.count(".") == 1]
    for name in tops:
        doc = importlib.import_module(name).__doc__ or ""
        assert (" are public" in doc) == (name in public_api.MODULES), name
        assert ("\nInternal: may change without notice" in doc) == (name not in public_api.MODULES), name


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_pages_and_examples_use_public_names(page: Path, public_api: ModuleType, public_names: list[Any]) -> None:
    """Code in the README, in docs and in examples imports public names alone; what does not yet is listed here."""
    used = set(imported("\n".join(pieces(page))))
    public = {name.path for name in public_names} | {*public_api.MODULES}
    internal = {name.split(".")[1] for name in used - public}
    assert internal == INTERNAL.get(page.name, set())


def pieces(page: Path) -> list[str]:
    """The Python code of a page, an example or a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = ("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
        return [code for code in cells if not code.startswith("%%")]
    if page.suffix == ".py":
        return [text]
    return re.findall(r"^```python[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def imported(code: str) -> Iterator[str]:
    """What a piece of code takes from the package, by the names that it is exported as."""
    modules: dict[str, str] = {}
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "scones_ml":
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = modules.get(node.value.id, "scones_ml" if node.value.id == "scones_ml" else "")
            if owner == "scones_ml" or (owner.count(".") == 1 and owner.rpartition(".")[2].islower()):
                yield f"{owner}.{node.attr}"


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_is_cheap() -> None:
    """``import scones_ml`` brings the standard library alone; its functions add pydantic until they are called."""
    heavy = ("pydantic", "numpy", "boto3", "onnxruntime", "torch", "typer", "PIL")
    found = f"[m for m in {heavy} if m in sys.modules]"
    assert run(f"import sys, scones_ml; print({found})") == "[]"
    names = "evaluate, load_model, run, stage, train"
    assert run(f"import sys; from scones_ml import {names}; print({found})") == "['pydantic']"


def test_the_core_needs_pydantic_alone() -> None:
    """With no optional package importable, the core still imports, and a missing extra is one line to install it."""
    blocked = ["aws_lambda_powertools", "boto3", "botocore", "jinja2", "jsonata", "jsonpath_ng", "numpy", "onnx"]
    blocked += ["onnxruntime", "PIL", "rich", "starlette", "torch", "typer", "uvicorn"]
    code = f"""
import importlib, sys
for name in {blocked!r}: sys.modules[name] = None
for name in {CORE!r}: importlib.import_module('scones_ml.' + name)
from scones_ml import asl, images
from scones_ml.errors import MissingExtraError
try: images.normalise(b'\\x89PNG\\r\\n\\x1a\\n')
except MissingExtraError as exc: print(exc)
"""
    assert run(code) == "Pillow is not installed: pip install 'scones-ml[onnx]'"


@pytest.mark.parametrize(("missing", "argument"), [("typer", "--help"), ("rich", "cost")])
def test_a_missing_extra_of_the_command_is_one_line(missing: str, argument: str) -> None:
    """``scones`` without its extra says what to install, in one line, with exit code 1; colours are what needs rich."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from scones_ml.cli import main; sys.exit(main([{argument!r}]))"
    )
    colours = os.environ | {"FORCE_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=colours)
    assert done.returncode == 1
    assert done.stderr == f"scones: {missing} is not installed: pip install 'scones-ml[cli]'\n"


@pytest.mark.parametrize(
    ("handler", "forbidden"),
    [
        ("serialize_image_data", ["numpy", "onnxruntime", "torch", "rich", "typer"]),
        ("classify_image_data", ["numpy", "onnxruntime", "torch", "PIL", "rich", "typer"]),
        ("filter_low_confidence", ["boto3", "numpy", "PIL", "torch", "rich", "typer"]),
    ],
)
def test_handlers_import_only_what_they_use(handler: str, forbidden: list[str]) -> None:
    """Loading a handler brings neither a model's packages nor clients that it may never need."""
    code = (
        "import sys; from scones_ml.local.handlers import load_handler; "
        f"load_handler({handler!r}); print([m for m in {forbidden!r} if m in sys.modules])"
    )
    assert run(code) == "[]"
