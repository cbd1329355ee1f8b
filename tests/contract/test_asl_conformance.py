"""Executions recorded on AWS come out the same here, but for those that known_differences.md explains."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from scones_ml import asl

KNOWN = Path(__file__).parents[1] / "workflows" / "known_differences.md"
LEAST = 675
"""Recorded executions that must agree, of 685."""


@pytest.fixture(scope="module")
def replay(test_data: Path) -> ModuleType:
    """The runner that lies beside the recordings."""
    spec = importlib.util.spec_from_file_location("asl_replay", test_data / "asl-conformance" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cases(test_data: Path) -> list[Mapping[str, asl.Json]]:
    """The recorded executions."""
    found: list[Mapping[str, asl.Json]] = json.loads((test_data / "asl-conformance" / "cases.json").read_text())
    return found


def test_recorded_executions_come_out_as_on_aws(replay: ModuleType, cases: list[Mapping[str, asl.Json]]) -> None:
    """All but the listed differences agree in status, output, error, cause and history; no listing is out of date."""
    verdict: Callable[[Mapping[str, asl.Json]], str | None] = replay.verdict
    wrong = {str(case["id"]): why for case in cases if (why := verdict(case))}
    listed = set(re.findall(r"^\| `([^`]+::[^`]+)`", KNOWN.read_text(), re.MULTILINE))
    assert wrong.keys() == listed
    assert len(cases) - len(wrong) >= LEAST


def test_typed_machines_round_trip(cases: list[Mapping[str, asl.Json]]) -> None:
    """Every recorded definition is the same after it was read into typed states and written again."""
    for case in cases:
        definition = case["definition"]
        assert asl.StateMachine.from_json(definition).to_json() == definition, case["id"]


def test_recorded_definitions_are_valid(cases: list[Mapping[str, asl.Json]]) -> None:
    """Validation finds no error in any definition that AWS has run."""
    for case in cases:
        assert [found for found in asl.validate(case["definition"]) if found.severity == "error"] == [], case["id"]


def test_every_recorded_machine_can_be_drawn(cases: list[Mapping[str, asl.Json]]) -> None:
    """Each recorded definition has a flow chart and an image with each of its states."""
    for case in cases:
        chart = asl.mermaid(case["definition"])
        image = asl.svg(case["definition"])
        for name in case["definition"]["States"]:
            assert f'"{name}"' in chart, case["id"]
            assert f">{name} (" in image, case["id"]
