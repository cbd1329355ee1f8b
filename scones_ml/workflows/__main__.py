"""``python -m scones_ml.workflows [NAME] [--check DIR]``: print a workflow as JSON, or check committed files.

Update a committed file with ``python -m scones_ml.workflows NAME > workflows/NAME.asl.json``.
"""

from __future__ import annotations

import argparse
import difflib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from scones_ml.workflows import WORKFLOWS

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or check; return the exit code: 0 for success, 1 for a stale file, 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m scones_ml.workflows", description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="?", help=f"one of {', '.join(WORKFLOWS)}; by default the first, or all to check")
    parser.add_argument("--check", metavar="DIR", type=Path, help="compare DIR/NAME.asl.json with the code")
    options = parser.parse_args(arguments)
    if options.name is not None and options.name not in WORKFLOWS:
        near = difflib.get_close_matches(options.name, WORKFLOWS, n=1, cutoff=0.0)
        parser.error(f"no workflow {options.name!r}; did you mean {near[0]!r}?")
    if options.check is None:
        sys.stdout.write(WORKFLOWS[options.name or next(iter(WORKFLOWS))]().to_text())
        return 0
    stale = [line for name in ([options.name] if options.name else WORKFLOWS) for line in _stale(name, options.check)]
    sys.stderr.writelines(f"{line}\n" for line in stale)
    return 1 if stale else 0


def _stale(name: str, folder: Path) -> list[str]:
    path = folder / f"{name}.asl.json"
    renew = f"update it with: python -m scones_ml.workflows {name} > {path}"
    if not path.is_file():
        return [f"{path} is missing; {renew}"]
    if path.read_text(encoding="utf-8") != WORKFLOWS[name]().to_text():
        return [f"{path} is stale; {renew}"]
    return []


if __name__ == "__main__":
    for sign in (signal.SIGINT, signal.SIGPIPE):  # only prints text: nothing to clean up
        signal.signal(sign, signal.SIG_DFL)
    raise SystemExit(main())
