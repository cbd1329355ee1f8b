"""The package as its users import it."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import scones_ml

PACKAGE = Path(scones_ml.__file__).parent
MODULES = sorted(
    ".".join(["scones_ml", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)
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


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_is_cheap() -> None:
    """``import scones_ml`` brings nothing that is not in the standard library."""
    heavy = ("pydantic", "numpy", "boto3", "torch", "PIL")
    assert run(f"import sys, scones_ml; print([m for m in {heavy} if m in sys.modules])") == "[]"


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
