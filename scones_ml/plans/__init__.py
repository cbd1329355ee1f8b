"""Plans and the ledger: frozen data that commands print, execute and record.

``plan`` lists the changes of a command, ``ledger`` records resources by run, ``journal`` writes lines to disk,
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
