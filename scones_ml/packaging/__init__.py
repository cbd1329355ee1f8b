"""The functions as deployment packages: folders for ``sam deploy``, and their zips.

``plan`` says what each package will hold; ``build`` makes it so. The same plan always gives the same bytes.

Internal: may change without notice.
"""

from __future__ import annotations

from scones_ml.packaging.build import Package, build
from scones_ml.packaging.plan import FunctionPlan, PackagePlan, PackageRequest, plan
from scones_ml.packaging.target import HOST, Target

__all__ = ["HOST", "FunctionPlan", "Package", "PackagePlan", "PackageRequest", "Target", "build", "plan"]
