"""Definitions that a template deploys, and the functions in them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from scones_ml import asl, workflows
from scones_ml.infrastructure.parameters import TemplateSettings
from scones_ml.limits import EXPRESS_SECONDS

__all__ = ["function_names", "machines", "states_of"]

_FUNCTION = re.compile(r"\$\{(\w+)FunctionArn\}")


def machines(settings: TemplateSettings) -> dict[str, asl.StateMachine]:
    """Every definition by the logical name of its state machine: one image at a time, and many at once.

    An EXPRESS state machine has a time limit; the one for many images is always STANDARD, as distributed maps require.
    """
    single = workflows.image_classification(settings.below_threshold)
    if settings.workflow_type == "EXPRESS":
        single = dataclasses.replace(single, timeout_seconds=EXPRESS_SECONDS)
    return {"ImageClassification": single, "BatchClassification": workflows.batch_classification()}


def function_names(machine: asl.StateMachine) -> tuple[str, ...]:
    """Functions that a definition invokes, in order: ``Classify`` for ``${ClassifyFunctionArn}``."""
    return tuple(dict.fromkeys(_FUNCTION.findall(machine.to_text())))


def states_of(states: Mapping[str, asl.State]) -> Iterator[tuple[str, asl.State]]:
    """Every state with its name, including those inside maps and branches."""
    for name, state in states.items():
        yield name, state
        if isinstance(state, asl.Map) and state.item_processor is not None:
            yield from states_of(state.item_processor.states)
        if isinstance(state, asl.Parallel):
            for branch in state.branches:
                yield from states_of(branch.states)
