"""Sphinx's settings for the site that ``make docs`` builds: strict, offline, the public API and nothing else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import flowchart
import public_api
import site_directives
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from scones_ml import __version__

project = "scones_ml"
author = "the scones_ml contributors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
html_title = f"scones_ml {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # fetched, which browsers refuse to pages from a disk
html_theme_options = {"sidebar_hide_name": False}

exclude_patterns = ["README.md"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
myst_enable_extensions = ["deflist"]
myst_links_external_new_tab = False

default_role = "code"  # single backquotes in docstrings
napoleon_use_ivar = True  # fields are listed once, in the class's docstring
napoleon_use_rtype = False
napoleon_attr_annotations = False  # types are in the signature
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
nitpicky = True

_NAMES = {name.path: name for module in public_api.MODULES for name in public_api.names(module)}
_logger = logging.getLogger(__name__)


def _identifiers(signature: str) -> set[str]:
    """Names that stand in a signature's types."""
    call = signature if signature.startswith("(") else "()" + signature.replace(":", " ->", 1).replace("=", "->", 1)
    try:
        tree = ast.parse(f"def signature{call}: ...")
    except SyntaxError:
        return set()
    found = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)}
    return found | {name.rpartition(".")[2] for name in found}


_public = {path.rpartition(".")[2] for path in _NAMES}
nitpick_ignore = {
    ("py:class", name) for known in _NAMES.values() for name in _identifiers(known.signature) if name not in _public
}
"""Types in signatures that are not ours, or internal; what docstrings and pages refer to has to be there."""
nitpick_ignore_regex = [("py:class", r"(collections\.abc|datetime|pathlib|PIL|numpy)\..*")]
suppress_warnings = [
    "misc.highlighting_failure",  # what a console prints after a command is no shell code
]


def _check_docstrings(_app: Sphinx) -> None:
    """Complain of public names that nothing is said of."""
    for name in _NAMES.values():
        if not name.doc.strip():
            _logger.warning("%s is public and has no docstring", name.path)


def _signature(_app: Sphinx, _what: str, path: str, *_: object) -> tuple[str, str] | None:
    """Signatures as the source has them: a reader knows ``npt.ArrayLike``, and not the union that it stands for."""
    known = _NAMES.get(path)
    if known is None or not known.signature.startswith("("):
        return None
    parameters, _arrow, result = known.signature.partition(") -> ")
    return (parameters + ")" if _arrow else parameters, result)


def _property(_app: Sphinx, what: str, _path: str, _object: object, _options: object, lines: list[str]) -> None:
    """Napoleon takes the text before a colon for the type of a property: replace the colon by a dash."""
    if what == "property" and lines:
        lines[0] = lines[0].replace(": ", " – ")


def _public_reference(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    """A public name wherever it is referred to: by the module that defines it, or from another package."""
    if node.get("refdomain") != "py":
        return None
    name = str(node["reftarget"]).rpartition(".")[2]
    matches = [path for path in _NAMES if path.rpartition(".")[2] == name and path.count(".") > 1]
    if not matches:
        return None
    domain = env.get_domain("py")
    near = sorted(matches, key=lambda path: (not path.startswith(str(node.get("py:module"))), len(path), path))
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", near[0], node, content)  # type: ignore[return-value]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect what is above."""
    app.connect("builder-inited", _check_docstrings)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _property, priority=400)
    app.connect("missing-reference", _public_reference)
    app.add_directive("mermaid", flowchart.Flowchart)
    app.add_directive("public", site_directives.Public)
    app.add_directive("commands", site_directives.Commands)
    return {"parallel_read_safe": True}
