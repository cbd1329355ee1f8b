"""What runs inside a training job: the network, its recipe and the script-mode entry point.

``python -m scones_ml.training`` follows SageMaker's script-mode contract, on AWS and as a process of this machine.
torch is imported by the modules of this package only, never by the package itself.

Internal: may change without notice.
"""

from __future__ import annotations

__all__: list[str] = []
