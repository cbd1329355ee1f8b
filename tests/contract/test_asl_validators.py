"""What asl-validator (npm) refuses, `asl.validate` finds too: on sound definitions and on ones with a single mistake.

It runs where node and asl-validator are at hand: ``npm install -g asl-validator``.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scones_ml import asl
from scones_ml.workflows import image_classification

Definition = dict[str, Any]
SOUND: Mapping[str, Definition] = {
    "workflow": image_classification().to_json(),
    "workflow that fails": image_classification("fail").to_json(),
    "every state": {
        "StartAt": "Wait",
        "States": {
            "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Both"},
            "Both": {
                "Type": "Parallel",
                "Branches": [{"StartAt": "Left", "States": {"Left": {"Type": "Pass", "End": True}}}],
                "Next": "Each",
            },
            "Each": {
                "Type": "Map",
                "ItemsPath": "$.items",
                "MaxConcurrency": 2,
                "ItemProcessor": {"StartAt": "Item", "States": {"Item": {"Type": "Succeed"}}},
                "Next": "Decide",
            },
            "Decide": {
                "Type": "Choice",
                "Choices": [{"Not": {"Variable": "$.a", "NumericEquals": 1}, "Next": "Stop"}],
                "Default": "Done",
            },
            "Stop": {"Type": "Fail", "Error": "E", "Cause": "c"},
            "Done": {"Type": "Succeed"},
        },
    },
    "jsonata": {
        "QueryLanguage": "JSONata",
        "StartAt": "Work",
        "States": {
            "Work": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Arguments": {"Payload": "{% $states.input %}"},
                "Output": "{% $states.result.Payload %}",
                "End": True,
            }
        },
    },
}


def _places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from _places(child, (*path, key))


def _at(node: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


MISTAKES: Mapping[str, Callable[[Any, str | int], None]] = {
    "left out": lambda parent, key: parent.pop(key),
    "a number": lambda parent, key: parent.__setitem__(key, -7),
    "a text": lambda parent, key: parent.__setitem__(key, "no such thing"),
    "a list": lambda parent, key: parent.__setitem__(key, []),
}


def _mutants() -> Iterator[tuple[str, Definition]]:
    for name, definition in SOUND.items():
        yield name, definition
        if name.startswith("workflow"):
            continue  # the small ones have the same fields, and asl-validator takes 0.1 s for each
        for path in _places(definition):
            for mistake, make in MISTAKES.items():
                mutant = copy.deepcopy(definition)
                make(_at(mutant, path[:-1]), path[-1])
                yield f"{name}: {'.'.join(map(str, path))} {mistake}", mutant


CHECK = """
const validate = require(process.argv[1]);
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map((definition) => {
  try { return validate(definition).isValid; } catch (error) { return false; }
})));
"""


@pytest.fixture(scope="module")
def asl_validator() -> Path:
    """The installed npm package."""
    command = shutil.which("asl-validator")
    if command is None or shutil.which("node") is None:
        pytest.skip("asl-validator is not installed: npm install -g asl-validator")
    return Path(command).resolve().parents[2]


def test_what_asl_validator_refuses_is_found(asl_validator: Path) -> None:
    """Every definition with a mistake that asl-validator refuses has a problem here; sound ones have none in either."""
    cases = list(_mutants())
    done = subprocess.run(
        ["node", "-e", CHECK, str(asl_validator)],
        input=json.dumps([definition for _, definition in cases]),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    missed = [
        name
        for (name, definition), valid in zip(cases, theirs, strict=True)
        if not valid
        and ".Output " not in name  # AWS runs any JSON as Output and Arguments, see the recorded executions
        and ".Arguments " not in name
        and not [problem for problem in asl.validate(definition) if problem.severity == "error"]
    ]
    assert missed == [], "\n".join(missed)
    sound = {name: valid for (name, _), valid in zip(cases, theirs, strict=True) if name in SOUND}
    assert sound == dict.fromkeys(SOUND, True)
    for definition in SOUND.values():
        assert not [problem for problem in asl.validate(definition) if problem.severity == "error"]
