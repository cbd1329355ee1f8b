"""Protocols that a backend implements, and the frozen data in their signatures.

``local`` implements them with directories and processes on this machine, ``aws`` with S3, SageMaker and Step
Functions. One contract suite per port runs against every implementation (``tests/contract``).

Internal: may change without notice.
"""

from __future__ import annotations

from scones_ml.ports.backend import Backend, Check, Inventory, Leave, LeftAlone, leave_unsaid
from scones_ml.ports.classifier import Classifier
from scones_ml.ports.deployment import BuiltInModel, Deployer, DeploymentRequest, Endpoint, RealTime, Serverless
from scones_ml.ports.objects import (
    CONCURRENT_REQUESTS,
    Buckets,
    ObjectStore,
    ObjectSummary,
    StoredObject,
    mark_prefix,
    refuse_larger,
)
from scones_ml.ports.progress import Progress, Steps, no_progress, no_steps
from scones_ml.ports.training import Recipe, RecipeChoice, Trainer, TrainingRequest, choose_recipe
from scones_ml.ports.workflow import (
    NAMED_FAILURES,
    BulkRequest,
    BulkResult,
    BulkRunner,
    ImageResult,
    WorkflowModel,
    WorkflowRequest,
    WorkflowRunner,
    failures_in_words,
)

__all__ = [
    "CONCURRENT_REQUESTS",
    "NAMED_FAILURES",
    "Backend",
    "Buckets",
    "BuiltInModel",
    "BulkRequest",
    "BulkResult",
    "BulkRunner",
    "Check",
    "Classifier",
    "Deployer",
    "DeploymentRequest",
    "Endpoint",
    "ImageResult",
    "Inventory",
    "Leave",
    "LeftAlone",
    "ObjectStore",
    "ObjectSummary",
    "Progress",
    "RealTime",
    "Recipe",
    "RecipeChoice",
    "Serverless",
    "Steps",
    "StoredObject",
    "Trainer",
    "TrainingRequest",
    "WorkflowModel",
    "WorkflowRequest",
    "WorkflowRunner",
    "choose_recipe",
    "failures_in_words",
    "leave_unsaid",
    "mark_prefix",
    "no_progress",
    "no_steps",
    "refuse_larger",
]
