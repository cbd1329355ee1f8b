"""Our own training as the source archive of AWS's PyTorch container.

The archive holds ``train.py``, ``requirements.txt`` and the modules of scones_ml that it imports. The same sources
and installed versions give the same bytes, so that its hash names it.
"""

from __future__ import annotations

from typing import Final

from scones_ml.packaging.modules import needed_modules
from scones_ml.sagemaker.model_package import archive, requirements

__all__ = ["ENTRY_POINT", "pack"]

ENTRY_POINT: Final = "train.py"
_PROGRAM = '''"""Entry point of a training job: scones_ml.training under its own name."""

import sys

from scones_ml.training.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
'''
# torch is the container's own. Versions are those installed here, so that what runs there is what was tested.
_REQUIREMENTS = ("numpy", "onnx", "onnxruntime", "pillow", "pydantic")


def pack() -> bytes:
    """The gzipped tar archive, to be put where ``ScriptMode.source`` says.

    Raises:
        MissingExtraError: a package whose version is to be written down is not installed.
    """
    files = {ENTRY_POINT: _PROGRAM.encode(), "requirements.txt": requirements(_REQUIREMENTS, "train").encode()}
    return archive(files | {name: path.read_bytes() for name, path in needed_modules(_PROGRAM).items()})
