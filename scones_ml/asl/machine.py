"""`StateMachine`, and its conversion to and from Amazon States Language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import cast

from scones_ml import strict_json
from scones_ml.asl.codec import decode, encode
from scones_ml.asl.parts import Branch
from scones_ml.asl.values import Json
from scones_ml.errors import InvalidDefinitionError

__all__ = ["Definition", "StateMachine", "document_of"]


@dataclass(frozen=True, kw_only=True)
class StateMachine(Branch):
    """A state machine: ``StateMachine(start_at="Greet", states={"Greet": Pass(end=True)})``.

    Attributes:
        start_at: the name of the first state.
        states: the states by name.
        timeout_seconds: after so many seconds the execution ends as TIMED_OUT.
        version: of Amazon States Language, ``"1.0"``.
    """

    timeout_seconds: int | None = None
    version: str | None = None

    @classmethod
    def from_json(cls, definition: Mapping[str, Json] | str) -> StateMachine:
        """A machine from its definition, as a JSON object or as text.

        Raises:
            InvalidDefinitionError: it is not JSON, or a field is unknown or missing.
        """
        return decode(cls, document_of(definition), what="the state machine")

    def __getstate__(self) -> dict[str, object]:
        """The fields without the compiled program, which is not copied or pickled."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to_json(self) -> dict[str, Json]:
        """The machine as Amazon States Language."""
        return encode(self)

    def to_text(self) -> str:
        """The machine as indented JSON with a final line break, for files."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"

    def _repr_html_(self) -> str:
        """The graph, for notebooks."""
        from scones_ml.asl.graph.notebook import machine_html

        return machine_html(self)


Definition = StateMachine | Mapping[str, Json] | str
"""A definition: typed, as a dict or as JSON text."""


def document_of(definition: Definition) -> Mapping[str, Json]:
    """The JSON object of a definition.

    Raises:
        InvalidDefinitionError: it is not a JSON object.
    """
    if isinstance(definition, StateMachine):
        return definition.to_json()
    if isinstance(definition, str):
        try:
            document = strict_json.parse(definition)
        except ValueError as error:
            raise InvalidDefinitionError(f"the definition {error}") from error
        definition = cast("Mapping[str, Json]", document)
    if not isinstance(definition, Mapping):
        raise InvalidDefinitionError("the definition is not a JSON object")
    return definition
