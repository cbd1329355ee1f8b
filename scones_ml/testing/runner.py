"""A runner of state machines for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scones_ml import asl

__all__ = ["StateMachineRunner"]


class StateMachineRunner:
    """A runner that executes a state machine any number of times, without waiting, and records calls and waits.

    Args:
        definition: a machine, its JSON as a dict, or the path to its file.
        answers: for each Resource ARN a function from the task's parameters to its result, or a list of successive
            results; a result that is an exception is raised.

    Attributes:
        calls: the ARN and the parameters of every call, in order.
        waits: the seconds of Wait states and Retry rules, in order.
    """

    def __init__(
        self,
        definition: asl.Definition | Path,
        answers: Mapping[str, asl.Resource | Sequence[asl.Json | Exception]] | None = None,
    ) -> None:
        self.calls: list[tuple[str, asl.Json]] = []
        self.waits: list[float] = []
        self._unanswered: list[str] = []
        self._definition = _definition(definition)
        self._resources = {arn: self._resource(arn, answer) for arn, answer in (answers or {}).items()}

    def __call__(self, document: asl.Json = None) -> asl.Execution:
        """Run the machine on an input; branches run one after the other, so that the order of calls is deterministic.

        Raises:
            AssertionError: a Resource was called more often than it has results.
        """
        execution = asl.run(
            self._definition, document, resources=self._resources, sleep=self.waits.append, max_workers=1, seed=0
        )
        assert not self._unanswered, f"no result is left for {self._unanswered[0]}"  # noqa: S101 - for tests
        return execution

    def _resource(self, arn: str, answer: asl.Resource | Sequence[asl.Json | Exception]) -> asl.Resource:
        if callable(answer):
            function = answer

            def answered(parameters: asl.Json) -> object:
                self.calls.append((arn, parameters))
                return function(parameters)

            return answered
        answers = iter(answer)

        def call(parameters: asl.Json) -> object:
            self.calls.append((arn, parameters))
            found = next(answers, StopIteration())
            if isinstance(found, StopIteration):
                self._unanswered.append(f"{arn}, called with {parameters!r}")
            if isinstance(found, Exception):
                raise found
            return found

        return call


def _definition(definition: asl.Definition | Path) -> asl.Definition:
    """The definition, read if it is a file's path."""
    if isinstance(definition, Path) or (isinstance(definition, str) and not definition.lstrip().startswith("{")):
        return Path(definition).read_text(encoding="utf-8-sig")
    return definition
