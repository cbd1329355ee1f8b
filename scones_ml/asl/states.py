"""The eight state types as frozen dataclasses: their fields and how each is executed.

::

    State(comment, query_language)
    ├── Fail
    └── _Passing(input_path, output_path, output)
        ├── Succeed
        └── _Assigning(assign)
            ├── Choice
            └── _Continuing(next, end)
                ├── Wait
                └── _Producing(parameters, result_path)
                    ├── Pass
                    └── _Recovering(result_selector, arguments, retry, catch)
                        ├── Task
                        ├── Parallel
                        └── Map

A state type is added here: its fields, and `execute`, which takes a `Step` and returns the result, from which the
state's query language makes the output. A field's JSON name is its name in PascalCase. The private classes have no
instances and so need no generated methods, which saves import time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from scones_ml.asl.choice import ChoiceRule, Condition, holds, read_rule, write_rule
from scones_ml.asl.codec import decode, encode, nearest, part
from scones_ml.asl.failures import EvaluationFailed, StateFailed
from scones_ml.asl.parts import (
    Branch,
    Catcher,
    ItemBatcher,
    ItemProcessor,
    ItemReader,
    QueryLanguage,
    ResultWriter,
    Retrier,
    one,
    several,
)
from scones_ml.asl.values import UNSET, Json, Unset
from scones_ml.errors import InvalidDefinitionError

if TYPE_CHECKING:
    from scones_ml.asl.step import Step

__all__ = ["STATES", "Choice", "Fail", "Map", "Parallel", "Pass", "State", "Succeed", "Task", "Wait", "read_states"]


def _rules(document: Json) -> tuple[ChoiceRule, ...]:
    return tuple(read_rule(rule) for rule in document) if isinstance(document, list | tuple) else ()


def _branches(document: Json) -> tuple[Branch, ...]:
    if not isinstance(document, list | tuple):
        raise InvalidDefinitionError("Branches: expected a list of machines")
    return tuple(decode(Branch, branch, what="a branch") for branch in document)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class State:
    """Fields of every state.

    Attributes:
        comment: a comment without effect.
        query_language: JSONPath or JSONata; default: the machine's.
    """

    type: ClassVar[str]
    comment: str | None = None
    query_language: QueryLanguage | None = None

    def to_json(self) -> dict[str, Json]:
        """The state as Amazon States Language."""
        return {"Type": self.type, **encode(self)}

    def _execute(self, step: Step) -> Json:
        """Run the state once and return its result, before the output fields are applied."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Fail(State):
    """A state that ends the execution with an error."""

    type: ClassVar[str] = "Fail"
    error: str | None = None
    error_path: str | None = None
    cause: str | None = None
    cause_path: str | None = None

    def _execute(self, step: Step) -> Json:
        """Raise the error."""
        raise StateFailed(step.text(self, "error"), step.text(self, "cause"))


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Passing(State):
    """States with an output.

    Attributes:
        input_path: JSONPath: the part of the input to use; None for an empty object.
        output_path: JSONPath: the part of the result to pass on; None for an empty object.
        output: JSONata: the output.
    """

    input_path: str | Unset | None = UNSET
    output_path: str | Unset | None = UNSET
    output: Json | Unset = UNSET


@dataclass(frozen=True, kw_only=True)
class Succeed(_Passing):
    """A state that ends the execution, or a branch, with its input as output."""

    type: ClassVar[str] = "Succeed"

    def _execute(self, step: Step) -> Json:
        """Return the input."""
        return step.input


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Assigning(_Passing):
    """States that can set variables: `assign` maps names to values."""

    assign: Mapping[str, Json] | None = None


@dataclass(frozen=True, kw_only=True)
class Choice(_Assigning):
    """A state that goes to the state of the first rule that holds, else to `default`."""

    type: ClassVar[str] = "Choice"
    choices: tuple[ChoiceRule, ...] = field(metadata=part(_rules, lambda rules: [write_rule(rule) for rule in rules]))
    default: str | None = None

    def _execute(self, step: Step) -> Json:
        """Choose the first rule that holds."""

        def condition(rule: Condition) -> bool:
            return step.flow.condition(rule.condition, step.scope)

        scope = step.scope.on(step.input)
        for rule in self.choices:
            if holds(rule, scope, condition):
                step.take(rule)
                return step.input
        if self.default is None:
            cause = "Failed to transition out of the state. The state does not point to a next state."
            raise EvaluationFailed("States.NoChoiceMatched", cause)
        step.next = self.default
        return step.input


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Continuing(_Assigning):
    """States that continue with `next`, or end the machine with ``end=True``."""

    next: str | None = None
    end: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Wait(_Continuing):
    """A state that waits a number of seconds, or until a timestamp."""

    type: ClassVar[str] = "Wait"
    seconds: int | str | None = None
    seconds_path: str | None = None
    timestamp: str | None = None
    timestamp_path: str | None = None

    def _execute(self, step: Step) -> Json:
        """Wait."""
        step.sleep(step.wait_seconds(self))
        return step.input


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Producing(_Continuing):
    """States with a result; JSONPath: `parameters` is their input, `result_path` the place of the result."""

    parameters: Json | Unset = UNSET
    result_path: str | Unset | None = UNSET


@dataclass(frozen=True, kw_only=True)
class Pass(_Producing):
    """A state that passes on its input, `result` or `parameters`."""

    type: ClassVar[str] = "Pass"
    result: Json | Unset = UNSET

    def _execute(self, step: Step) -> Json:
        """Return the result, or the parameters."""
        return step.arguments if self.result is UNSET else self.result


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Recovering(_Producing):
    """States that can fail, with `retry` and `catch` rules."""

    result_selector: Mapping[str, Json] | None = None
    arguments: Json | Unset = UNSET
    retry: tuple[Retrier, ...] | None = field(default=None, metadata=several(Retrier))
    catch: tuple[Catcher, ...] | None = field(default=None, metadata=several(Catcher))


@dataclass(frozen=True, kw_only=True)
class Task(_Recovering):
    """A state that calls the function for `resource`."""

    type: ClassVar[str] = "Task"
    resource: str
    credentials: Mapping[str, Json] | None = None
    timeout_seconds: int | str | None = None
    timeout_seconds_path: str | None = None
    heartbeat_seconds: int | str | None = None
    heartbeat_seconds_path: str | None = None

    def _execute(self, step: Step) -> Json:
        """Call the function."""
        from scones_ml.asl.task import run_task

        return run_task(self, step)


@dataclass(frozen=True, kw_only=True)
class Parallel(_Recovering):
    """A state that runs branches concurrently; the result is the list of their outputs."""

    type: ClassVar[str] = "Parallel"
    branches: tuple[Branch, ...] = field(
        metadata=part(_branches, lambda branches: [encode(branch) for branch in branches])
    )

    def _execute(self, step: Step) -> Json:
        """Run the branches."""
        from scones_ml.asl.concurrent import run_parallel

        return run_parallel(step)


@dataclass(frozen=True, kw_only=True)
class Map(_Recovering):
    """A state that runs `item_processor` for each item; the result is the list of the outputs."""

    type: ClassVar[str] = "Map"
    item_processor: ItemProcessor | None = field(default=None, metadata=one(ItemProcessor))
    iterator: ItemProcessor | None = field(default=None, metadata=one(ItemProcessor))
    items: Json | Unset = UNSET
    items_path: str | None = None
    item_selector: Mapping[str, Json] | str | None = None
    item_reader: ItemReader | None = field(default=None, metadata=one(ItemReader))
    item_batcher: ItemBatcher | None = field(default=None, metadata=one(ItemBatcher))
    result_writer: ResultWriter | None = field(default=None, metadata=one(ResultWriter))
    max_concurrency: int | str | None = None
    max_concurrency_path: str | None = None
    tolerated_failure_count: int | str | None = None
    tolerated_failure_count_path: str | None = None
    tolerated_failure_percentage: float | str | None = None
    tolerated_failure_percentage_path: str | None = None
    label: str | None = None

    def _execute(self, step: Step) -> Json:
        """Run the processor for each item."""
        from scones_ml.asl.map_run import run_map

        return run_map(self, step)


STATES: Final[Mapping[str, type[State]]] = {
    kind.type: kind for kind in (Choice, Fail, Map, Parallel, Pass, Succeed, Task, Wait)
}
"""Every state type by its name in a definition."""


def read_states(document: Json) -> dict[str, State]:
    """The states of a machine from the JSON of its ``States``.

    Raises:
        InvalidDefinitionError: a state is invalid; the message names the state and the field.
    """
    if not isinstance(document, Mapping) or not document:
        raise InvalidDefinitionError("States: expected an object with at least one state")
    return {name: _read_state(name, state) for name, state in document.items()}


def _read_state(name: str, document: Json) -> State:
    kind = document.get("Type") if isinstance(document, Mapping) else None
    if not isinstance(kind, str) or kind not in STATES:
        raise InvalidDefinitionError(f"state {name!r} has no type {kind!r}{nearest(str(kind), STATES)}")
    return decode(STATES[kind], document, what=f"{kind} state {name!r}", ignored=("Type",))
