"""ItemBatcher: items grouped by number, by bytes, or by the limit that is reached first."""

from __future__ import annotations

from collections.abc import Sequence

from scones_ml.asl.parts import ItemBatcher
from scones_ml.asl.step import Step
from scones_ml.asl.values import UNSET, Json, size, text
from scones_ml.limits import STATE_BYTES

__all__ = ["batches"]


def batches(batcher: ItemBatcher | None, step: Step, items: Sequence[Json]) -> list[Json]:
    """The inputs of the child executions: the items themselves, or ``{"Items": [...]}`` with the batch's input.

    Raises:
        StateFailed: a limit is not a positive integer.
    """
    if batcher is None:
        return list(items)
    count = _limit(batcher, step, "max_items_per_batch")
    most_bytes = _limit(batcher, step, "max_input_bytes_per_batch")
    shared: dict[str, Json] = {}
    if batcher.batch_input is not UNSET:
        scope = step.scope.on(step.input)
        shared["BatchInput"] = step.flow.template(batcher.batch_input, "BatchInput", scope)
    room = min(most_bytes or STATE_BYTES, STATE_BYTES) - size(text({"Items": [], **shared}))
    groups: list[list[Json]] = []
    left = 0
    for item in items:
        needed = size(text(item)) + 1  # and a comma
        if not groups or needed > left or (count is not None and len(groups[-1]) >= count):
            groups.append([])
            left = room + 1
        groups[-1].append(item)
        left -= needed
    return [{"Items": group, **shared} for group in groups]


def _limit(batcher: ItemBatcher, step: Step, field: str) -> int | None:
    value = step.integer(batcher, field)
    if value is not None and value < 0:
        raise step.flow.wrong(batcher, field, value, "positive")
    return value or None
