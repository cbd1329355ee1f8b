"""Plan output: each change with its price, permission and purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scones_ml.cli import terminal
from scones_ml.cost.prices import HOURS_A_MONTH, price_table
from scones_ml.displays import dollars
from scones_ml.errors import ConfigurationError

if TYPE_CHECKING:
    from scones_ml.plans import Change, Plan

__all__ = ["cost_line", "dollars", "prices_as_of", "show_plans"]


def show_plans(plans: Sequence[Plan], json: bool, titles: Sequence[str] = ()) -> None:
    """Print plans on standard output; of several, those that change nothing are left out of the tables.

    Args:
        plans: of one verb, one for each place.
        json: as one document.
        titles: of the places, which are named where there is more than one.
    """
    if json:
        terminal.print_json([_document(plan) for plan in plans])
        return
    named = list(zip(titles or [""] * len(plans), plans, strict=True))
    shown = [(title, plan) for title, plan in named if plan.changes or plan.unseen] or named[:1]
    for number, (title, plan) in enumerate(shown):
        if number:
            terminal.out.print()
        if title and len(shown) > 1:
            terminal.out.print(f"in {title}:")
        _show(plan)
    terminal.say("this is a plan: nothing was done")


def cost_line(per_hour: float | None, place: str) -> str:
    """Cost per hour and month with the price's date.

    Args:
        per_hour: dollars; None when the price is unknown.
        place: ``"local"`` or ``"aws:REGION"``.
    """
    if place == "local":
        return "on this machine: costs nothing"
    if per_hour is None:
        return "some prices are not known: see https://aws.amazon.com/pricing"
    line = f"{dollars(per_hour)} an hour, {dollars(HOURS_A_MONTH * per_hour)} a month"
    as_of = prices_as_of(place)
    return f"{line}; list prices as of {as_of}, requests and storage not counted" if as_of else line


def _show(plan: Plan) -> None:
    if not plan.changes:
        terminal.out.print(f"{plan.verb}: nothing {'else is known to be ours' if plan.unseen else 'to do'}")
        return
    if plan.unseen and plan.verb != "cleanup":  # which names each thing by itself
        terminal.say(f"as if nothing existed yet, since it could not be checked: {plan.unseen}")
    columns = ["", "what", "name", "an hour", "permission", "why"]
    rows = [
        [change.action, change.kind, change.name, dollars(change.dollars_per_hour), change.permission, change.why]
        for change in plan.changes
    ]
    if plan.place == "local":  # neither prices nor permissions
        columns, rows = columns[:3] + columns[5:], [row[:3] + row[5:] for row in rows]
    terminal.print_table(columns, rows, right=("an hour",))
    removed = all(change.action in ("delete", "stop") for change in plan.changes)
    per_hour = sum(change.dollars_per_hour or 0.0 for change in plan.changes) if removed else plan.dollars_per_hour
    terminal.out.print(f"{'saves ' if removed and per_hour else ''}{cost_line(per_hour, plan.place)}")


def _document(plan: Plan) -> dict[str, object]:

    per_hour = plan.dollars_per_hour
    return {
        "verb": plan.verb,
        "place": plan.place,
        "changes": [_row(change) for change in plan.changes],
        "unseen": plan.unseen,
        "dollars_per_hour": per_hour,
        "dollars_per_month": None if per_hour is None else HOURS_A_MONTH * per_hour,
        "prices_as_of": prices_as_of(plan.place),
    }


def _row(change: Change) -> dict[str, object]:
    """JSON row of a change, without uploaded bytes."""
    return {name: value for name, value in dataclasses.asdict(change).items() if name != "content"}


def prices_as_of(place: str) -> str | None:
    """Date of the region's price table; None without one."""
    try:
        return price_table(place.removeprefix("aws:")).as_of
    except ConfigurationError:
        return None
