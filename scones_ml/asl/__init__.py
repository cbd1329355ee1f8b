"""Amazon States Language on one machine: typed states, validation and an interpreter.

>>> from scones_ml import asl
>>> machine = asl.StateMachine(start_at="Greet", states={"Greet": asl.Pass(result="hello", end=True)})
>>> asl.run(machine, {}, resources={}).output
'hello'

The typed states are imported at once; the interpreter, the checks and the drawings are imported on first use.

The names that this package exports are public; its modules are internal and may change without notice.
"""

# Modules, in the order in which an execution uses them:
#
#     states, choice, parts, machine        a definition as typed data; `codec`: its JSON; `values`: JSON itself
#     validation, checks, expressions       the checks on a definition
#     program, flow                         the compiled definition, and the interface of a query language
#     jsonpath, paths, intrinsics           the first query language
#     jsonata                               the second
#     interpreter, step, recovery, failures the loop over states, one visit to a state, Retry and Catch, errors
#     execution, scope, history, clock      the branches, data, events and time of an execution
#     task, resources, caller, tokens       the task call, with its deadline and its callback
#     concurrent, map_run, map_reader, map_batches, map_writer   concurrent branches, Map, its reader and writer
#     resume, single                        redrive, and the test of one state
#     graph                                 drawings: SVG, Mermaid, notebooks

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from scones_ml.asl.choice import And, Comparison, Condition, Not, Or
from scones_ml.asl.failures import TaskFailed
from scones_ml.asl.machine import Definition, StateMachine
from scones_ml.asl.parts import (
    Branch,
    Catcher,
    ItemBatcher,
    ItemProcessor,
    ItemReader,
    ProcessorConfig,
    ReaderConfig,
    ResultWriter,
    Retrier,
    WriterConfig,
)
from scones_ml.asl.states import Choice, Fail, Map, Parallel, Pass, State, Succeed, Task, Wait
from scones_ml.asl.values import UNSET, Json, Unset

if TYPE_CHECKING:
    from scones_ml.asl.execution import Execution
    from scones_ml.asl.graph.mermaid import mermaid
    from scones_ml.asl.graph.svg import svg
    from scones_ml.asl.history import Event
    from scones_ml.asl.interpreter import run
    from scones_ml.asl.resources import Resource
    from scones_ml.asl.resume import redrive
    from scones_ml.asl.single import StateTest, test_state
    from scones_ml.asl.tokens import send_task_failure, send_task_heartbeat, send_task_success
    from scones_ml.asl.validation import Problem, validate

__all__ = [
    "UNSET",
    "And",
    "Branch",
    "Catcher",
    "Choice",
    "Comparison",
    "Condition",
    "Definition",
    "Event",
    "Execution",
    "Fail",
    "ItemBatcher",
    "ItemProcessor",
    "ItemReader",
    "Json",
    "Map",
    "Not",
    "Or",
    "Parallel",
    "Pass",
    "Problem",
    "ProcessorConfig",
    "ReaderConfig",
    "Resource",
    "ResultWriter",
    "Retrier",
    "State",
    "StateMachine",
    "StateTest",
    "Succeed",
    "Task",
    "TaskFailed",
    "Unset",
    "Wait",
    "WriterConfig",
    "mermaid",
    "redrive",
    "run",
    "send_task_failure",
    "send_task_heartbeat",
    "send_task_success",
    "svg",
    "test_state",
    "validate",
]

_HOME = {
    "Event": "history",
    "Execution": "execution",
    "Problem": "validation",
    "Resource": "resources",
    "StateTest": "single",
    "mermaid": "graph.mermaid",
    "redrive": "resume",
    "run": "interpreter",
    "send_task_failure": "tokens",
    "send_task_heartbeat": "tokens",
    "send_task_success": "tokens",
    "svg": "graph.svg",
    "test_state": "single",
    "validate": "validation",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
