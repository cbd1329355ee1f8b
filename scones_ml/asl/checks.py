"""Checks on the fields of single states: their combinations and their values.

A check is added as a line in one of the tables, or as a function in `CHECKS`; `validation` walks the machine and calls
them with a `Place`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scones_ml.asl.choice import OPERATORS
from scones_ml.asl.codec import nearest
from scones_ml.asl.expressions import expression_problems, path_problem, template_problems
from scones_ml.asl.intrinsics import TEXT_FUNCTIONS
from scones_ml.asl.timestamps import parse_timestamp
from scones_ml.asl.values import Json
from scones_ml.limits import MAP_CONCURRENCY, MAP_ITEMS, STATE_BYTES, STEP_FUNCTIONS_NAME_CHARACTERS

__all__ = ["CHECKS", "Place", "Problem", "choice_problems", "shape_problems"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """A problem in a definition.

    Attributes:
        path: where it is, ``"$.States.Greet.Next"``.
        message: what is wrong, and how to correct it.
        severity: ``error`` if AWS would reject the definition, ``warning`` if it would run, but probably not as meant.
    """

    path: str
    message: str
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Place:
    """A state in a definition.

    Attributes:
        path: of the state in the definition.
        state: the state's JSON.
        kind: the state's Type.
        language: the state's query language.
    """

    path: str
    state: Mapping[str, Json]
    kind: str
    language: str

    def part(self, name: str) -> Mapping[str, Json]:
        """The object in field `name`; empty if the field holds none."""
        value = self.state.get(name)
        return value if isinstance(value, Mapping) else {}

    def parts(self, name: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
        """The objects in the list of field `name`, each with its path."""
        value = self.state.get(name)
        for index, item in enumerate(value if isinstance(value, list | tuple) else ()):
            if isinstance(item, Mapping):
                yield f"{self.path}.{name}[{index}]", item


_AT_MOST_ONE: Final = (
    ("TimeoutSeconds", "TimeoutSecondsPath"),
    ("HeartbeatSeconds", "HeartbeatSecondsPath"),
    ("ItemSelector", "Parameters"),
    ("ToleratedFailureCount", "ToleratedFailureCountPath"),
    ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
    ("MaxConcurrency", "MaxConcurrencyPath"),
    ("Items", "ItemsPath"),
    ("Cause", "CausePath"),
    ("Error", "ErrorPath"),
    ("MaxItems", "MaxItemsPath"),
    ("MaxItemsPerBatch", "MaxItemsPerBatchPath"),
    ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"),
)
_EXACTLY_ONE: Final = {
    "Wait": ("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),
    "Map": ("ItemProcessor", "Iterator"),
}
_ONLY_JSONPATH: Final = frozenset(
    {"InputPath", "OutputPath", "ResultPath", "ResultSelector", "Parameters", "ItemsPath", "SecondsPath"}
    | {"TimestampPath", "ErrorPath", "CausePath", "TimeoutSecondsPath", "HeartbeatSecondsPath", "MaxConcurrencyPath"}
    | {"ToleratedFailureCountPath", "ToleratedFailurePercentagePath", "MaxItemsPath", "MaxItemsPerBatchPath"}
    | {"MaxInputBytesPerBatchPath", "Variable"}
)
_ONLY_JSONATA: Final = frozenset({"Arguments", "Output", "Items", "Condition"})
_TEMPLATES: Final = (
    "Parameters",
    "ResultSelector",
    "Assign",
    "ItemSelector",
    "Arguments",
    "Output",
    "Items",
    "Credentials",
)
_NULLABLE: Final = frozenset({"InputPath", "OutputPath", "ResultPath"})
_ARN = re.compile(r"arn:[^:\s]+:[^:\s]+:[^:\s]*:[^:\s]*:[^\s:/*$#]+([:/][^\s*$#]*[^\s*$#:/])?(:\$LATEST)?")
_PLACEHOLDER = re.compile(r"\$\{[^{}]+\}")
_NUMBERS: Final = {
    "Seconds": (0, 99_999_999),
    "TimeoutSeconds": (1, 99_999_999),
    "HeartbeatSeconds": (1, 99_999_999),
    "MaxConcurrency": (0, MAP_CONCURRENCY),
    "ToleratedFailureCount": (0, None),
    "ToleratedFailurePercentage": (0, 100),
    "MaxItems": (0, MAP_ITEMS),
    "MaxItemsPerBatch": (1, None),
    "MaxInputBytesPerBatch": (1, STATE_BYTES),
    "IntervalSeconds": (1, 99_999_999),
    "MaxAttempts": (0, 99_999_999),
    "BackoffRate": (1, None),
    "MaxDelaySeconds": (1, 31_622_400),
}
_FRACTIONS: Final = frozenset({"BackoffRate", "ToleratedFailurePercentage"})
_CHOICES: Final = {
    "JitterStrategy": ("FULL", "NONE"),
    "Mode": ("INLINE", "DISTRIBUTED"),
    "ExecutionType": ("STANDARD", "EXPRESS"),
    "QueryLanguage": ("JSONPath", "JSONata"),
    "InputType": ("CSV", "JSON", "JSONL", "MANIFEST", "PARQUET"),
    "CSVHeaderLocation": ("FIRST_ROW", "GIVEN"),
    "CSVDelimiter": ("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"),
    "OutputType": ("JSON", "JSONL"),
}


_TEXT: Final = (str, "a string")
_LIST: Final = ((list, tuple), "a list of objects")
_OBJECT: Final = (Mapping, "an object")
_OBJECT_OR_TEXT: Final = ((Mapping, str), "an object")
_SHAPES: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    **dict.fromkeys(("Next", "Default", "Error", "Cause", "Label", "Timestamp", "QueryLanguage", "Mode"), _TEXT),
    "Comment": _TEXT,
    **dict.fromkeys(
        ("Version", "ExecutionType", "JitterStrategy", "CSVHeaderLocation", "CSVDelimiter", "OutputType"), _TEXT
    ),
    **dict.fromkeys(("Retry", "Catch", "Choices", "Branches"), _LIST),
    **dict.fromkeys(("ItemReader", "ItemBatcher", "ResultWriter", "ReaderConfig", "WriterConfig"), _OBJECT),
    **dict.fromkeys(("ProcessorConfig", "ItemProcessor", "Iterator"), _OBJECT),
    **dict.fromkeys(("Assign", "ResultSelector", "ItemSelector"), _OBJECT_OR_TEXT),
}


def _parts(place: Place) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """The state and each of its parts that has fields of its own."""
    yield place.path, place.state
    for name in ("ItemReader", "ItemBatcher", "ResultWriter"):
        yield f"{place.path}.{name}", place.part(name)
        for inner in ("ReaderConfig", "WriterConfig"):
            value = place.part(name).get(inner)
            if isinstance(value, Mapping):
                yield f"{place.path}.{name}.{inner}", value
    for name in ("ItemProcessor", "Iterator"):
        yield f"{place.path}.{name}", place.part(name)
        config = place.part(name).get("ProcessorConfig")
        if isinstance(config, Mapping):
            yield f"{place.path}.{name}.ProcessorConfig", config
    for name in ("Retry", "Catch"):
        yield from place.parts(name)


def _together(place: Place) -> Iterator[Problem]:
    for path, part in _parts(place):
        for names in _AT_MOST_ONE:
            if all(name in part for name in names):
                yield Problem(path, f"has both {names[0]} and {names[1]}: keep one")
    needed = _EXACTLY_ONE.get(place.kind, ())
    if needed and sum(name in place.state for name in needed) != 1:
        yield Problem(place.path, f"needs exactly one of {', '.join(needed)}")


def _language(place: Place) -> Iterator[Problem]:
    foreign = _ONLY_JSONPATH if place.language == "JSONata" else _ONLY_JSONATA
    other = "JSONPath" if place.language == "JSONata" else "JSONata"
    for path, part in _parts(place):
        for name in part:
            if name in foreign:
                yield Problem(f"{path}.{name}", f"{name} is a field of {other}, but this state uses {place.language}")


def choice_problems(path: str, name: str, value: Json) -> Iterator[Problem]:
    """Fields with a fixed set of values that hold another value."""
    words = _CHOICES[name]
    if isinstance(value, str) and value not in words:
        yield Problem(path, f"{name} is one of {', '.join(words)}{nearest(value, words)}")


def _values(place: Place) -> Iterator[Problem]:
    for path, part in _parts(place):
        for name, value in part.items():
            here = f"{path}.{name}"
            if name in _NUMBERS and not isinstance(value, str):
                yield from _number(here, name, value)
            elif name in _NUMBERS and place.language == "JSONPath":
                yield Problem(here, f"{name} must be a number, or use {name}Path")
            elif name in _CHOICES:
                yield from choice_problems(here, name, value)
            elif name.endswith("Path") and place.language == "JSONPath" and not (value is None and name in _NULLABLE):
                message = path_problem(value, reference=name == "ResultPath")
                if message is not None:
                    yield Problem(here, message)


def _shapes(place: Place) -> Iterator[Problem]:
    for path, part in _parts(place):
        yield from shape_problems(path, part)


def shape_problems(path: str, part: Mapping[str, Json]) -> Iterator[Problem]:
    """Fields with a value of the wrong JSON type."""
    for name, value in part.items():
        wanted = _SHAPES.get(name)
        if wanted is not None and not isinstance(value, wanted[0]):
            yield Problem(f"{path}.{name}", f"{name} must be {wanted[1]}")
        elif wanted is _LIST and isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if not isinstance(item, Mapping):
                    yield Problem(f"{path}.{name}[{index}]", "must be an object")


def _writer(place: Place) -> Iterator[Problem]:
    config = place.part("ResultWriter").get("WriterConfig")
    if isinstance(config, Mapping) and "OutputType" not in config:
        path = f"{place.path}.ResultWriter.WriterConfig"
        yield Problem(path, 'OutputType is missing: set it to "JSON" or "JSONL"', "warning")


def _texts(place: Place) -> Iterator[Problem]:
    """Error and Cause must be strings, and so must the result of an intrinsic function used for them."""
    for name in ("ErrorPath", "CausePath"):
        value = place.state.get(name)
        if isinstance(value, str) and value.startswith("States.") and value.partition("(")[0] not in TEXT_FUNCTIONS:
            yield Problem(f"{place.path}.{name}", f"must be a string: use one of {', '.join(sorted(TEXT_FUNCTIONS))}")


def _number(path: str, name: str, value: Json) -> Iterator[Problem]:
    low, high = _NUMBERS[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield Problem(path, f"{name} must be a number")
    elif name not in _FRACTIONS and value != int(value):
        yield Problem(path, f"{name} must be a whole number")
    elif value < low or (high is not None and value > high):
        yield Problem(path, f"{name} must be at least {low}" + ("" if high is None else f" and at most {high}"))


def _templates(place: Place) -> Iterator[Problem]:
    for path, part in _parts(place):
        for name in _TEMPLATES:
            if name in part and place.language == "JSONPath":
                yield from (Problem(*found) for found in template_problems(f"{path}.{name}", part[name]))
    if place.language == "JSONata":
        inside = {"Branches", "ItemProcessor", "Iterator", "Comment"}
        for name, value in place.state.items():
            if name not in inside:
                for path, message, severity in expression_problems(f"{place.path}.{name}", value):
                    yield Problem(path, message, severity)
    for path, part in _parts(place):
        assign = part.get("Assign")
        if isinstance(assign, Mapping):
            yield from _variables(f"{path}.Assign", assign)


def _variables(path: str, assign: Mapping[str, Json]) -> Iterator[Problem]:
    for name in assign:
        bare = name.removesuffix(".$")
        if bare == "states" or len(bare) > STEP_FUNCTIONS_NAME_CHARACTERS:
            longest = STEP_FUNCTIONS_NAME_CHARACTERS
            yield Problem(
                f"{path}.{name}", f"a variable cannot be named states, and its name has at most {longest} characters"
            )


def _task(place: Place) -> Iterator[Problem]:
    if place.kind != "Task":
        return
    resource = place.state.get("Resource")
    if isinstance(resource, str):
        bare = _PLACEHOLDER.sub("x", resource)
        if not (_PLACEHOLDER.fullmatch(resource) or _ARN.fullmatch(bare) or resource.startswith("{%")):
            yield Problem(
                f"{place.path}.Resource", f"{resource!r} is not an ARN such as arn:aws:states:::lambda:invoke"
            )
    elif "Resource" in place.state:
        yield Problem(f"{place.path}.Resource", "Resource must be an ARN")
    if "Credentials" in place.state and not isinstance(place.state["Credentials"], Mapping | str):
        yield Problem(f"{place.path}.Credentials", "Credentials must be an object with RoleArn")
    timeout, heartbeat = place.state.get("TimeoutSeconds"), place.state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        yield Problem(f"{place.path}.HeartbeatSeconds", "HeartbeatSeconds must be less than TimeoutSeconds")
    if "TimeoutSeconds" not in place.state and "TimeoutSecondsPath" not in place.state:
        yield Problem(place.path, "no TimeoutSeconds: a task that hangs blocks the execution for good", "warning")


def _wait(place: Place) -> Iterator[Problem]:
    timestamp = place.state.get("Timestamp")
    if place.kind == "Wait" and isinstance(timestamp, str) and not timestamp.startswith("{%"):
        try:
            parse_timestamp(timestamp)
        except ValueError as error:
            yield Problem(f"{place.path}.Timestamp", str(error))


def _recovery(place: Place) -> Iterator[Problem]:
    for field in ("Retry", "Catch"):
        rules = list(place.parts(field))
        for index, (path, rule) in enumerate(rules):
            names = rule.get("ErrorEquals")
            if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
                yield Problem(f"{path}.ErrorEquals", "ErrorEquals must be a list with at least one error name")
            elif "States.ALL" in names and (len(names) > 1 or index < len(rules) - 1):
                yield Problem(f"{path}.ErrorEquals", "States.ALL must be alone in its rule, and the rule the last")


def _choice(place: Place) -> Iterator[Problem]:
    if place.kind == "Choice":
        for path, rule in place.parts("Choices"):
            yield from _rule(path, rule, place.language, outermost=True)


_RULE_FIELDS: Final = frozenset({"Next", "Comment", "Assign", "Output"})
_COMBINATIONS: Final = frozenset({"And", "Or", "Not", "Condition"})


def _rule(path: str, rule: Mapping[str, Json], language: str, *, outermost: bool) -> Iterator[Problem]:
    if not outermost and "Next" in rule:
        yield Problem(f"{path}.Next", "only the outermost rule may have Next")
    operators = [name for name in rule if name not in _RULE_FIELDS and name != "Variable"]
    for name in operators:
        if name not in OPERATORS | _COMBINATIONS:
            yield Problem(f"{path}.{name}", f"unknown field {name!r}{nearest(name, OPERATORS | _COMBINATIONS)}")
    if len(operators) != 1:
        yield Problem(path, "a rule must have exactly one operator")
    elif operators[0] in OPERATORS:
        yield from _comparison(path, rule, operators[0], language)
    if language == "JSONata" and "Condition" not in rule:
        yield Problem(path, "in JSONata a rule must have a Condition")
    for name in ("And", "Or", "Not"):
        inner = rule.get(name)
        several = list(inner) if isinstance(inner, list | tuple) else [inner]
        if name in rule and (not several or not all(isinstance(part, Mapping) for part in several)):
            yield Problem(f"{path}.{name}", f"{name} must contain rules")
        for index, part in enumerate(several):
            if isinstance(part, Mapping):
                where = f"{path}.{name}" if name == "Not" else f"{path}.{name}[{index}]"
                yield from _rule(where, part, language, outermost=False)


def _comparison(path: str, rule: Mapping[str, Json], name: str, language: str) -> Iterator[Problem]:
    if language == "JSONata":
        yield Problem(f"{path}.{name}", f"{name} is a field of JSONPath: use a Condition")
        return
    message = path_problem(rule.get("Variable"), calls=False)
    if message is not None:
        yield Problem(f"{path}.Variable", message)
    value = rule[name]
    if name.endswith("Path"):
        message = path_problem(value, calls=False)
        if message is not None:
            yield Problem(f"{path}.{name}", message)
    elif name.startswith(("Is", "Boolean")) and not isinstance(value, bool):
        yield Problem(f"{path}.{name}", f"{name} must be true or false")
    elif name.startswith("Numeric") and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield Problem(f"{path}.{name}", f"{name} must be a number")
    elif name.startswith(("String", "Timestamp")) and not isinstance(value, str):
        yield Problem(f"{path}.{name}", f"{name} must be a string")


CHECKS: Final[tuple[Callable[[Place], Iterator[Problem]], ...]] = (
    _together, _language, _values, _shapes, _writer, _texts, _templates, _task, _wait, _recovery, _choice,
)  # fmt: skip
"""Every check on a state."""
