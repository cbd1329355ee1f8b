"""Deployment packages of the Lambda functions: folders for ``sam deploy``, and their zips.

``plan`` lists the contents of each package, ``build`` writes them. The same plan always gives the same bytes.

Internal: may change without notice.
"""

from __future__ import annotations

from scones_ml.packaging.build import Package, build
from scones_ml.packaging.plan import FunctionPlan, PackagePlan, PackageRequest, plan
from scones_ml.packaging.target import HOST, Target

__all__ = ["HOST", "FunctionPlan", "Package", "PackagePlan", "PackageRequest", "Target", "build", "plan"]
