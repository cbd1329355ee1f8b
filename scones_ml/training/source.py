"""Our own training as the source archive of AWS's PyTorch container.

The archive holds ``train.py``, ``requirements.txt`` and the parts of scones_ml that training needs. The same sources
and installed versions give the same bytes, so that its hash names it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from scones_ml.inference.package import archive, requirements

__all__ = ["ENTRY_POINT", "pack"]

ENTRY_POINT: Final = "train.py"
_PROGRAM = '''"""Entry point of a training job: scones_ml.training under its own name."""

import sys

from scones_ml.training.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
'''
_PACKAGES = ("dataset", "evaluation", "inference", "ports", "training")
# torch is the container's own. Versions are those installed here, so that what runs there is what was tested.
_REQUIREMENTS = ("numpy", "onnx", "onnxruntime", "pillow", "pydantic")


def pack() -> bytes:
    """The gzipped tar archive, to be put where ``ScriptMode.source`` says.

    Raises:
        MissingExtraError: a package whose version is to be written down is not installed.
    """
    package = Path(__file__).parent.parent
    files = {ENTRY_POINT: _PROGRAM.encode(), "requirements.txt": requirements(_REQUIREMENTS, "train").encode()}
    paths = [*package.glob("*.py")]
    paths += [path for name in _PACKAGES for path in (package / name).rglob("*.py")]
    for path in paths:
        files[f"scones_ml/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    return archive(files)
