"""Plans, and the record of what was done: frozen data that verbs print, execute and write down.

``plan`` says what a verb is about to do, ``ledger`` what was made by whom, ``journal`` keeps lines on disk,
``workspace`` marks the folder that holds them.

Internal: may change without notice.
"""

from __future__ import annotations

from scones_ml.plans.ledger import Entry, Ledger, Resource, State
from scones_ml.plans.plan import Action, Change, Plan, Run, execute, recorded
from scones_ml.plans.workspace import adopt_workspace, is_marked, mark_workspace

__all__ = [
    "Action",
    "Change",
    "Entry",
    "Ledger",
    "Plan",
    "Resource",
    "Run",
    "State",
    "adopt_workspace",
    "execute",
    "is_marked",
    "mark_workspace",
    "recorded",
]
