"""What asl-validator and AWS's amazon-states-language-service (npm) find in a definition, `asl.validate` finds too.

They look at sound definitions and at the same with a single mistake, and at AWS's own test corpus. This runs where node
and the packages are at hand: ``npm install -g asl-validator amazon-states-language-service``, or a folder of theirs in
NODE_PATH; the corpora lie in checkouts, which ASL_VALIDATOR and STATES_LANGUAGE_SERVICE name.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scones_ml import asl
from scones_ml.workflows import image_classification

Definition = dict[str, Any]
KNOWN = Path(__file__).parents[1] / "workflows" / "known_differences.md"
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


def test_asl_validator_s_own_corpus_is_told_apart() -> None:
    """In asl-validator's test corpus each invalid definition has a problem here, and no valid one has an error."""
    source = os.environ.get("ASL_VALIDATOR")
    if source is None:
        pytest.skip("ASL_VALIDATOR does not name a checkout of ChristopheBougere/asl-validator")
    corpus = sorted((Path(source) / "src" / "__tests__" / "definitions").glob("*valid-*.json"))
    assert len(corpus) > 100
    different = set()
    for file in corpus:
        problems = asl.validate(file.read_text())
        invalid = file.name.startswith("invalid-")
        if not problems if invalid else any(problem.severity == "error" for problem in problems):
            different.add(file.name)
    assert different == set(re.findall(r"^\| `((?:in)?valid-[\w-]+\.json)`", KNOWN.read_text(), re.MULTILINE))


DIAGNOSE = """
const root = require.resolve("amazon-states-language-service");
const service = require(root);
const { getLocation } = require(require.resolve("jsonc-parser", { paths: [root] }));
const language = service.getLanguageService({});
async function diagnose(text) {
  const document = service.TextDocument.create("file://machine.asl", "json", 1, text);
  const found = await language.doValidation(document, language.parseJSONDocument(document));
  return found.map((one) => [getLocation(text, document.offsetAt(one.range.start) + 1).path, one.message]);
}
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
Promise.all(cases.map(diagnose)).then((all) => console.log(JSON.stringify(all)));
"""
Diagnoses = Callable[[list[str]], list[list[tuple[str, str]]]]


@pytest.fixture(scope="module")
def language_service() -> Diagnoses:
    """AWS's language service: for each text the path and the message of every diagnostic."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node is not installed")
    everywhere = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=True).stdout.strip()
    folders = [os.environ.get("NODE_PATH", ""), everywhere]
    environment = {**os.environ, "NODE_PATH": os.pathsep.join(filter(None, folders))}
    find = ["node", "-e", "require.resolve('amazon-states-language-service')"]
    if subprocess.run(find, env=environment, capture_output=True, check=False).returncode:
        pytest.skip("not installed: npm install -g amazon-states-language-service")

    def diagnose(texts: list[str]) -> list[list[tuple[str, str]]]:
        done = subprocess.run(
            ["node", "-e", DIAGNOSE],
            env=environment,
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            check=True,
        )
        return [[(_path(parts), message) for parts, message in found] for found in json.loads(done.stdout)]

    return diagnose


def _path(parts: list[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts if part != "")


def _near(here: str, there: str) -> bool:
    """The same place, or one in the other; the whole machine only stands for its own fields."""
    if here == "$":
        return there.count(".") <= 1
    return here == there or here.startswith((f"{there}.", f"{there}[")) or there.startswith((f"{here}.", f"{here}["))


def _missed(text: str, diagnoses: list[tuple[str, str]]) -> list[tuple[str, str]]:
    problems = asl.validate(text)
    return [found for found in diagnoses if not any(_near(problem.path, found[0]) for problem in problems)]


def test_what_aws_s_language_service_finds_is_found(language_service: Diagnoses) -> None:
    """Every diagnostic for a definition with one mistake has a problem here at its place; a sound one has no error."""
    cases = [(name, json.dumps(definition, indent=1)) for name, definition in _mutants()]
    found = language_service([text for _, text in cases])
    assert sum(map(len, found)) > 300
    missed = {
        name: missing
        for (name, text), diagnoses in zip(cases, found, strict=True)
        if (missing := _missed(text, diagnoses))
        and "States.Decide.Type " not in name  # known_differences.md: what a state without a Type leads to is reached
    }
    assert missed == {}
    for (name, _), diagnoses in zip(cases, found, strict=True):
        assert name not in SOUND or diagnoses == []


def test_what_aws_s_own_corpus_shows_is_found(language_service: Diagnoses) -> None:
    """The service's test corpus: each diagnostic is found at its place, and what it accepts has no error here."""
    source = os.environ.get("STATES_LANGUAGE_SERVICE")
    if source is None:
        pytest.skip("STATES_LANGUAGE_SERVICE does not name a checkout of aws/amazon-states-language-service")
    corpus = _corpus(Path(source))
    assert len(corpus) > 70
    found = language_service(list(corpus.values()))
    different = {
        name
        for (name, text), diagnoses in zip(corpus.items(), found, strict=True)
        if _missed(text, diagnoses)
        or (not diagnoses and any(problem.severity == "error" for problem in asl.validate(text)))
    }
    assert different == set(re.findall(r"^\| `(document\w+)`", KNOWN.read_text(), re.MULTILINE))


def _corpus(source: Path) -> dict[str, str]:
    """The definitions that the service's tests keep as template literals, by their name."""
    texts: dict[str, str] = {}
    for name in ("validationStrings", "jsonataStrings", "variableStrings"):
        script = (source / "src" / "tests" / "json-strings" / f"{name}.ts").read_text()
        for title, text in re.findall(r"export const (\w+) = `(.*?)(?<!\\)`", script, re.DOTALL):
            texts[title] = re.sub(r"\\([`$\\])", r"\1", text)
    return texts
