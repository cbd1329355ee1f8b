"""The commands as functions of a backend: train, deploy, run, evaluate, clean up.

The caller passes the backend (see :func:`scones_ml.backends.backend`); nothing here prints or depends on where it runs.
``stage`` needs no backend: it is :func:`scones_ml.dataset.stage`.

Internal: may change without notice.
"""

from __future__ import annotations

from scones_ml.lifecycle.assess import (
    HeldOut,
    Predictions,
    compare,
    evaluate,
    held_out,
    predict,
    set_threshold,
    unseen_split,
)
from scones_ml.lifecycle.cleaning import (
    RemainingResource,
    Takings,
    adopt,
    cleanup,
    not_captured,
    plan_cleanup,
    remaining_resources,
    resources,
    spent,
    takings,
)
from scones_ml.lifecycle.endpoint_choice import choose_endpoint
from scones_ml.lifecycle.sending import ImageFile, run_files, upload_files
from scones_ml.lifecycle.verbs import (
    attach,
    bulk,
    deploy,
    may_have_seen,
    plan_deploy,
    plan_run,
    plan_stage,
    plan_train,
    plan_upload,
    preview_deploy,
    recipe_of,
    recording,
    run,
    train,
    upload,
    workflow_model,
)

__all__ = [
    "HeldOut",
    "ImageFile",
    "Predictions",
    "RemainingResource",
    "Takings",
    "adopt",
    "attach",
    "bulk",
    "choose_endpoint",
    "cleanup",
    "compare",
    "deploy",
    "evaluate",
    "held_out",
    "may_have_seen",
    "not_captured",
    "plan_cleanup",
    "plan_deploy",
    "plan_run",
    "plan_stage",
    "plan_train",
    "plan_upload",
    "predict",
    "preview_deploy",
    "recipe_of",
    "recording",
    "remaining_resources",
    "resources",
    "run",
    "run_files",
    "set_threshold",
    "spent",
    "takings",
    "train",
    "unseen_split",
    "upload",
    "upload_files",
    "workflow_model",
]
