"""Code of a training job: the network, its recipe and the script-mode entry point.

``python -m scones_ml.training`` follows SageMaker's script-mode contract, on AWS and as a local process.
torch is imported by this package's modules only, not by the package itself.

Internal: may change without notice.
"""

from __future__ import annotations

__all__: list[str] = []
