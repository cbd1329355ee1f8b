"""The scope of an expression: the state's data, the context object and the variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scones_ml.asl.paths import INPUT, Path, PathNotFoundError
from scones_ml.asl.values import UNSET, Json, Unset

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """The data behind ``$``, ``$$``, ``$name`` and JSONata's ``$states``.

    Attributes:
        input: value of ``$`` and ``$states.input``.
        context: returns the context object, ``$$`` or ``$states.context``; called on use.
        variables: variables set by Assign fields so far, by name.
        result: ``$states.result``, once a state has one.
        error_output: ``$states.errorOutput`` inside a Catch rule.
    """

    input: Json
    context: Callable[[], Mapping[str, Json]]
    variables: Mapping[str, Json]
    result: Json | Unset = UNSET
    error_output: Json | Unset = UNSET

    def on(self, document: Json) -> Scope:
        """The same scope with another input."""
        return Scope(document, self.context, self.variables, self.result, self.error_output)

    def root(self, path: Path) -> Json:
        """The document at the root of `path`.

        Raises:
            PathNotFoundError: its root is a variable without a value.
        """
        if path.root == INPUT:
            return self.input
        if path.root == "$$":
            return self.context()
        if path.root not in self.variables:
            raise PathNotFoundError(path.text)
        return self.variables[path.root]

    def find(self, path: Path) -> Json:
        """The value at `path`.

        Raises:
            PathNotFoundError: there is none.
        """
        return path.find(self.root(path))
