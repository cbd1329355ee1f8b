"""Amazon States Language on one machine: typed states, validation and an interpreter.

>>> from scones_ml import asl
>>> machine = asl.StateMachine(start_at="Greet", states={"Greet": asl.Pass(result="hello", end=True)})
>>> asl.run(machine, {}, resources={}).output
'hello'
"""

from scones_ml.asl.choice import And, Comparison, Condition, Not, Or
from scones_ml.asl.execution import Execution
from scones_ml.asl.failures import TaskFailed
from scones_ml.asl.history import Event
from scones_ml.asl.interpreter import run
from scones_ml.asl.machine import StateMachine
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
from scones_ml.asl.validation import Problem, validate
from scones_ml.asl.values import Json

__all__ = [
    "And",
    "Branch",
    "Catcher",
    "Choice",
    "Comparison",
    "Condition",
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
    "ResultWriter",
    "Retrier",
    "State",
    "StateMachine",
    "Succeed",
    "Task",
    "TaskFailed",
    "Wait",
    "WriterConfig",
    "run",
    "validate",
]
