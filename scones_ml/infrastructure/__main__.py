"""``python -m scones_ml.infrastructure [WHAT] [--check DIR]``: print the SAM template, or check the committed one.

WHAT is ``template``, or a block of the documentation: ``architecture`` (Mermaid), ``parameters``, ``permissions``
(Markdown). Regenerate the committed file with ``python -m scones_ml.infrastructure > workflows/template.yaml``.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scones_ml.infrastructure import TemplateSettings, template_text
from scones_ml.infrastructure.pages import architecture, parameter_table, permission_table

__all__ = ["main"]

_PAGES: Mapping[str, Callable[[TemplateSettings], str]] = {
    "template": template_text,
    "architecture": architecture,
    "parameters": parameter_table,
    "permissions": permission_table,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or check, and return the exit code: 0 for success, 1 for a stale file, 2 for a wrong option."""
    parser = argparse.ArgumentParser(prog="python -m scones_ml.infrastructure", description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=_PAGES, default="template", help="output (default: template)")
    parser.add_argument("--check", metavar="DIR", type=Path, help="compare DIR/template.yaml with the code")
    parser.add_argument("--type", choices=("STANDARD", "EXPRESS"), default="STANDARD", help="state machine type")
    parser.add_argument("--below-threshold", choices=("review", "fail"), default="review", help="low-confidence images")
    options = parser.parse_args(arguments)
    settings = TemplateSettings(workflow_type=options.type, below_threshold=options.below_threshold)
    if options.check is None:
        sys.stdout.write(_PAGES[options.what](settings))
        return 0
    stale = _stale(template_text(settings), options.check)
    sys.stderr.writelines(f"{line}\n" for line in stale)
    return 1 if stale else 0


def _stale(text: str, folder: Path) -> list[str]:
    path = folder / "template.yaml"
    renew = f"regenerate it with: python -m scones_ml.infrastructure > {path}"
    if not path.is_file():
        return [f"{path} is missing; {renew}"]
    if path.read_text(encoding="utf-8") != text:
        return [f"{path} is stale; {renew}"]
    return []


if __name__ == "__main__":
    for sign in (signal.SIGINT, signal.SIGPIPE):  # it only prints text: there is nothing to clean up
        signal.signal(sign, signal.SIG_DFL)
    raise SystemExit(main())
