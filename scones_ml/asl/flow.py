"""The interface of the query languages.

A language is added as a module with a class that has these methods, and one line in `LANGUAGES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol, cast

from scones_ml.asl.choice import ChoiceRule
from scones_ml.asl.parts import Catcher
from scones_ml.asl.scope import Scope
from scones_ml.asl.values import Json, Unset

if TYPE_CHECKING:
    from scones_ml.asl.states import State

__all__ = ["LANGUAGES", "Flow", "flow_of"]

LANGUAGES: Final[Mapping[str, tuple[str, str]]] = {
    "JSONPath": ("scones_ml.asl.jsonpath", "JsonPathFlow"),
    "JSONata": ("scones_ml.asl.jsonata", "JsonataFlow"),
}
"""Module and class of every query language, imported on use."""


class Flow(Protocol):
    """The data flow of one state; expressions are compiled once.

    Every method raises EvaluationFailed if an expression has no value in `scope`.
    """

    def __init__(self, state: State) -> None: ...

    def input(self, scope: Scope) -> Json:
        """The state's effective input, selected from its raw input."""

    def arguments(self, scope: Scope) -> Json:
        """The arguments of the state's work."""

    def output(self, scope: Scope, result: Json, rule: ChoiceRule | None) -> Json:
        """The state's output, from its raw input and its result; `rule` is the one that a Choice took."""

    def assign(self, scope: Scope, result: Json, rule: ChoiceRule | None) -> Mapping[str, Json]:
        """The variables that the state sets."""

    def before(self, scope: Scope) -> Mapping[str, Json]:
        """The data after each step up to the state's work, with the names of AWS's TestState."""

    def after(self, scope: Scope, result: Json) -> Mapping[str, Json]:
        """The data after each step from the result on, with the names of AWS's TestState."""

    def caught(self, catcher: Catcher, scope: Scope, error: Json) -> tuple[Json, Mapping[str, Json]]:
        """The output and the variables of a Catch rule; `error` is ``{"Error", "Cause"}``."""

    def template(self, template: Json, field: str, scope: Scope) -> Json:
        """A value of the definition with its expressions evaluated."""

    def value(self, owner: object, field: str, scope: Scope) -> Json | Unset:
        """The value of a field that may be dynamic; None or UNSET if it is absent."""

    def wrong(self, owner: object, field: str, value: Json, expected: str) -> Exception:
        """The failure of a field with an invalid value, with AWS's message.

        `expected` is ``integer``, ``long``, ``float``, ``string``, ``array``, ``input array``, ``positive`` or
        ``timestamp``.
        """

    def condition(self, condition: str | bool, scope: Scope) -> bool:
        """Whether the condition of a Choice rule holds."""


def flow_of(language: str, state: State) -> Flow:
    """The data flow of `state` in `language`."""
    module, name = LANGUAGES[language]
    return cast("Flow", getattr(importlib.import_module(module), name)(state))
