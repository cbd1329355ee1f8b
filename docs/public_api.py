"""The public API, read from the code: ``docs/api.txt`` and the reference pages are made of it.

``python docs/public_api.py`` writes ``docs/api.txt`` anew; a test holds the file to the code, so that each change of
the API shows in review.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Final

__all__ = ["LISTING", "MODULES", "Name", "listing", "names"]

LISTING: Final = Path(__file__).with_name("api.txt")
MODULES: Final = (
    "scones_ml",
    "scones_ml.asl",
    "scones_ml.captures",
    "scones_ml.dataset",
    "scones_ml.errors",
    "scones_ml.evaluation",
    "scones_ml.events",
    "scones_ml.images",
    "scones_ml.infrastructure",
    "scones_ml.monitoring",
    "scones_ml.steps",
    "scones_ml.testing",
    "scones_ml.workflows",
)
"""Everything that is public: what these export, and nothing else."""

_HEADER: Final = """\
# The public API, one name a line. After a change: python docs/public_api.py
"""


@dataclass(frozen=True)
class Name:
    """One public name.

    Attributes:
        kind: ``class``, ``error``, ``function``, ``method``, ``property``, ``data`` or ``type``.
        path: as users write it, ``scones_ml.asl.run``.
        signature: parameters and result of what is called, the definition of a type, the type of data; else empty.
        doc: its docstring; of data and types the string below it.
        home: where else it is public, ``scones_ml.events.ImageRef`` of ``scones_ml.ImageRef``; else empty.
    """

    kind: str
    path: str
    signature: str
    doc: str
    home: str = ""

    def __str__(self) -> str:
        """Its line in ``docs/api.txt``."""
        return f"{self.kind:<8} {self.path}" + (f" = {self.home}" if self.home else self.signature)


def names(module: str) -> Iterator[Name]:
    """The public names of a module, each class followed by its methods and properties."""
    exporter = importlib.import_module(module)
    for name in exporter.__all__:
        value, path = getattr(exporter, name), f"{module}.{name}"
        if inspect.isclass(value):
            kind = "error" if issubclass(value, Exception) else "class"
            home = _home(value, module)
            yield Name(kind, path, _class_signature(value), inspect.getdoc(value) or "", home)
            yield from () if home else _members(value, path)
        elif inspect.isfunction(value):
            yield Name("function", path, _signature(value), inspect.getdoc(value) or "", _home(value, module))
        else:
            yield _assigned(exporter, name, path)


def listing() -> str:
    """The text of ``docs/api.txt``."""
    return _HEADER + "".join(f"{name}\n" for module in MODULES for name in names(module))


def _home(value: object, module: str) -> str:
    """Another public module than the front door that exports a name."""
    name = str(getattr(value, "__name__", ""))
    others = MODULES[1:] if module == MODULES[0] else ()
    homes = (other for other in others if getattr(importlib.import_module(other), name, None) is value)
    return next((f"{other}.{name}" for other in homes if name in importlib.import_module(other).__all__), "")


def _members(owner: type, path: str) -> Iterator[Name]:
    """Methods and properties that we wrote, the inherited ones of private base classes among them."""
    ours = [base for base in owner.__mro__ if base is owner or (_is_ours(base) and base.__name__.startswith("_"))]
    found = {name: value for base in reversed(ours) for name, value in vars(base).items()}
    for name, value in sorted(found.items()):
        if name.startswith("_"):
            continue
        function = getattr(value, "__func__", value)  # of a classmethod or staticmethod
        if isinstance(value, property) or type(value).__name__ == "cached_property":
            getter = value.fget if isinstance(value, property) else value.func
            result = inspect.get_annotations(getter).get("return", "") if inspect.isfunction(getter) else ""
            yield Name("property", f"{path}.{name}", f": {_plain(result)}", inspect.getdoc(value) or "")
        elif inspect.isfunction(function):
            doc = inspect.getdoc(getattr(owner, name)) or ""
            yield Name("method", f"{path}.{name}", _signature(function, bound=not isinstance(value, staticmethod)), doc)


def _is_ours(value: object) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] == "scones_ml"


def _class_signature(owner: type) -> str:
    if fields := getattr(owner, "model_fields", None):  # pydantic keeps annotations as objects; ours are plainer
        annotations = {
            name: note for base in reversed(owner.__mro__) for name, note in inspect.get_annotations(base).items()
        }
        parts = [
            f"{name}: {_plain(annotations[name])}" + ("" if field.is_required() else f" = {_shown(field.default)}")
            for name, field in fields.items()
        ]
        return f"(*, {', '.join(parts)})"
    if getattr(owner, "_is_protocol", False) or hasattr(owner, "__members__"):
        return ""
    for base in owner.__mro__:
        if maker := vars(base).get("__init__") or vars(base).get("__new__"):
            return _signature(maker, bound=True).removesuffix(" -> None") if inspect.isfunction(maker) else ""
    return ""


def _signature(function: object, *, bound: bool = False) -> str:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = list(signature.parameters.values())[bound:]
    shown, previous = [], None
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and previous not in (
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        ):
            shown.append("*")
        if previous is parameter.POSITIONAL_ONLY and parameter.kind is not parameter.POSITIONAL_ONLY:
            shown.append("/")
        shown.append(_parameter(parameter))
        previous = parameter.kind
    result = "" if signature.return_annotation is signature.empty else f" -> {_plain(str(signature.return_annotation))}"
    return f"({', '.join(shown)}){result}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = "*" * (parameter.kind is parameter.VAR_POSITIONAL) + "**" * (parameter.kind is parameter.VAR_KEYWORD)
    typed = "" if parameter.annotation is parameter.empty else f": {_plain(parameter.annotation)}"
    default = "" if parameter.default is parameter.empty else f" = {_shown(parameter.default)}"
    return f"{stars}{parameter.name}{typed}{default}"


def _plain(annotation: str) -> str:
    """An annotation without what ``Annotated`` adds for pydantic."""
    return ast.unparse(_WithoutMetadata().visit(ast.parse(annotation, mode="eval"))) if annotation else ""


class _WithoutMetadata(ast.NodeTransformer):
    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "Annotated" and isinstance(node.slice, ast.Tuple):
            return node.slice.elts[0]
        return node


def _shown(default: object) -> str:
    """A default as it is written, or an ellipsis where its text may differ from one machine to another."""
    if default is None or isinstance(default, bool | int | float | str | bytes | tuple | Path):
        text = repr(default)
        return text if " at 0x" not in text and "Posix" not in text else f"Path({str(default)!r})"
    name = getattr(default, "__name__", str(default).rpartition(".")[2])
    return name if name.isidentifier() else "..."


def _assigned(exporter: ModuleType, name: str, path: str) -> Name:
    """A constant or a type alias, which do not know where they come from: found by their assignment."""
    for module in _sources(exporter.__name__):
        text = module.read_text(encoding="utf-8")
        body = ast.parse(text).body if f"\n{name}" in text else []
        for statement, after in zip_longest(body, body[1:]):
            target, annotation = _target(statement)
            if target != name or not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
                continue
            doc = after.value.value if _is_text(after) else ""  # type: ignore[union-attr]
            if _is_alias(annotation, statement.value):
                value = (
                    ast.literal_eval(statement.value) if _is_string(statement.value) else ast.unparse(statement.value)
                )
                return Name("type", path, f" = {value}", inspect.cleandoc(doc))
            return Name("data", path, f": {annotation}" if annotation else "", inspect.cleandoc(doc))
    raise LookupError(f"{path} is assigned nowhere")


@cache
def _sources(package: str) -> tuple[Path, ...]:
    """The files in which a package's constants may stand: its own first."""
    root = Path(str(importlib.import_module("scones_ml").__file__)).parent
    own = root.joinpath(*package.split(".")[1:])
    inside = sorted(own.glob("*.py")) if own.is_dir() else [own.with_suffix(".py")]
    return (*inside, *sorted(set(root.rglob("*.py")) - set(inside)))


def _target(statement: ast.stmt) -> tuple[str, str]:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, ast.unparse(statement.annotation)
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, ""
    return "", ""


def _is_alias(annotation: str, value: ast.expr) -> bool:
    return annotation == "TypeAlias" or (not annotation and isinstance(value, ast.BinOp | ast.Subscript))


def _is_text(statement: ast.stmt | None) -> bool:
    return isinstance(statement, ast.Expr) and _is_string(statement.value)


def _is_string(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


if __name__ == "__main__":
    LISTING.write_text(listing(), encoding="utf-8")
