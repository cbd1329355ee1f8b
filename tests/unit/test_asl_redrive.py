"""Redriving what is inside Parallel and Map states: only the branches, items and children that failed run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from scones_ml import asl

ARN = "arn:aws:states:::lambda:invoke"
DOWNLOADED = pytest.mark.parametrize("downloaded", [False, True], ids=["execution", "downloaded history"])


class Work:
    """A task function that records its calls and fails for some inputs, until it is fixed."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.calls = set(failing), list[str]()

    def __call__(self, parameters: Any) -> Any:
        self.calls.append(parameters["name"])
        if parameters["name"] in self.failing:
            raise asl.TaskFailed("Broken", parameters["name"])
        return f"{parameters['name']} done"


def task(name: str, **fields: object) -> dict[str, object]:
    return {"Type": "Task", "Resource": ARN, "Parameters": {"name": name}, **fields}


def again(
    definition: Mapping[str, object], before: asl.Execution, work: Callable[[Any], Any], *, downloaded: bool
) -> asl.Execution:
    """Redrive, from the execution or from its history as AWS shows it."""
    if not downloaded:
        return asl.redrive(before, resources={ARN: work}, max_workers=1)
    history = json.loads(json.dumps({"events": [event.to_json() for event in before.history]}))
    return asl.redrive(history, resources={ARN: work}, definition=definition, max_workers=1)


BRANCHES = {
    "StartAt": "Both",
    "States": {
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "A", "States": {"A": task("a", End=True)}},
                {
                    "StartAt": "B1",
                    "States": {
                        "B1": task("b1", Assign={"b.$": "$"}, Next="Sure"),
                        "Sure": {
                            "Type": "Choice",
                            "Choices": [{"Variable": "$b", "IsPresent": True, "Next": "B2"}],
                            "Default": "B2",
                        },
                        "B2": task("b2", Next="B3"),
                        "B3": {"Type": "Pass", "Parameters": {"b.$": "$b", "after.$": "$"}, "End": True},
                    },
                },
                {"StartAt": "C", "States": {"C": task("c", End=True)}},
            ],
            "End": True,
        }
    },
}


@DOWNLOADED
def test_only_branches_that_failed_or_never_ran_are_redriven(downloaded: bool) -> None:
    """A branch goes on at its failed state with its variables; one that had ended keeps its output; others start."""
    work = Work("b2")
    before = asl.run(BRANCHES, {}, resources={ARN: work}, max_workers=1)
    assert (before.status, work.calls) == ("FAILED", ["a", "b1", "b2"])
    work.failing.clear()
    after = again(BRANCHES, before, work, downloaded=downloaded)
    assert work.calls == ["a", "b1", "b2", "b2", "c"]
    assert after.output == ["a done", {"b": "b1 done", "after": "b2 done"}, "c done"]


@DOWNLOADED
def test_a_second_redrive_knows_what_the_first_one_did(downloaded: bool) -> None:
    """What succeeded in the first redrive is not run again in the second."""
    work = Work("b2", "c")
    before = asl.run(BRANCHES, {}, resources={ARN: work}, max_workers=1)
    work.failing.remove("b2")
    between = again(BRANCHES, before, work, downloaded=downloaded)
    assert between.status == "FAILED"
    work.failing.clear()
    after = again(BRANCHES, between, work, downloaded=downloaded)
    assert work.calls == ["a", "b1", "b2", "b2", "c", "c"]
    assert after.output == ["a done", {"b": "b1 done", "after": "b2 done"}, "c done"]


def each(**fields: object) -> dict[str, object]:
    item = {"Type": "Task", "Resource": ARN, "Parameters": {"name.$": "$"}, "End": True}
    state = {"Type": "Map", "ItemProcessor": {"StartAt": "I", "States": {"I": item}, **fields}, "End": True}
    return {"StartAt": "Each", "States": {"Each": state}}


@DOWNLOADED
@pytest.mark.parametrize("workers", [1, 8])
def test_only_items_that_failed_or_never_ran_are_redriven(downloaded: bool, workers: int) -> None:
    """An inline Map keeps the outputs of the items that had ended, whatever order they ran in."""
    work = Work("x2")
    items = [f"x{n}" for n in range(5)]
    before = asl.run(each(), items, resources={ARN: work}, max_workers=workers)
    ended = [event.data["index"] for event in before.history if event.type == "MapIterationSucceeded"]
    work.failing.clear()
    work.calls.clear()
    after = again(each(), before, work, downloaded=downloaded)
    assert after.output == [f"x{n} done" for n in range(5)]
    assert work.calls == [item for n, item in enumerate(items) if n not in ended]


@DOWNLOADED
def test_nested_branches_are_redriven_in_depth(downloaded: bool) -> None:
    """In a Map within a Parallel state only the item that failed runs again."""
    outer = {
        "Type": "Parallel",
        "Branches": [{"StartAt": "First", "States": {"First": task("first", End=True)}}, each()],
        "Catch": [{"ErrorEquals": ["Other"], "Next": "Late"}],
        "End": True,
    }
    definition = {"StartAt": "Outer", "States": {"Outer": outer, "Late": {"Type": "Succeed"}}}
    work = Work("x1")
    before = asl.run(definition, ["x0", "x1"], resources={ARN: work}, max_workers=1)
    work.failing.clear()
    after = again(definition, before, work, downloaded=downloaded)
    assert work.calls == ["first", "x0", "x1", "x1"]
    assert after.output == ["first done", ["x0 done", "x1 done"]]


@DOWNLOADED
def test_a_branch_goes_on_where_a_rule_had_led_it(downloaded: bool) -> None:
    """A branch that had caught an error and then failed goes on in the state that the rule named."""
    branch = {
        "StartAt": "One",
        "States": {
            "One": task("one", Catch=[{"ErrorEquals": ["Broken"], "Next": "Two"}], End=True),
            "Two": task("two", End=True),
        },
    }
    definition = {"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": [branch], "End": True}}}
    work = Work("one", "two")
    before = asl.run(definition, {}, resources={ARN: work}, max_workers=1)
    work.failing.clear()
    assert again(definition, before, work, downloaded=downloaded).output == ["two done"]
    assert work.calls == ["one", "two", "two"]


def test_only_children_that_failed_are_redriven() -> None:
    """The Map run of an execution goes on: its children that had succeeded keep their outputs."""
    definition = each(ProcessorConfig={"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"})
    work = Work("x1", "x2")
    before = asl.run(definition, ["x0", "x1", "x2"], resources={ARN: work}, max_workers=1)
    assert before.error == "States.ExceedToleratedFailureThreshold"
    work.failing.clear()
    after = asl.redrive(before, resources={ARN: work}, max_workers=1)
    assert after.output == ["x0 done", "x1 done", "x2 done"]
    assert work.calls == ["x0", "x1", "x1", "x2"]
    assert "MapRunRedriven" in [event.type for event in after.history]


def test_too_large_a_result_runs_everything_again() -> None:
    """After States.DataLimitExceeded the branches that had succeeded run again, as AWS documents it."""
    big = {"a": "x" * 200_000, "c": "y" * 200_000}
    calls: list[str] = []

    def work(parameters: Any) -> Any:
        calls.append(parameters["name"])
        return big.get(parameters["name"], "small")

    before = asl.run(BRANCHES, {}, resources={ARN: work}, max_workers=1)
    assert before.error == "States.DataLimitExceeded"
    big.clear()
    assert asl.redrive(before, resources={ARN: work}, max_workers=1).status == "SUCCEEDED"
    assert calls == ["a", "b1", "b2", "c"] * 2


def test_a_redriven_execution_knows_when() -> None:
    """The context object keeps the first start and has RedriveCount and RedriveTime."""
    show = {"Type": "Pass", "Parameters": {"e.$": "$$.Execution"}, "End": True}
    definition = {"StartAt": "T", "States": {"T": task("t", Next="Show"), "Show": show}}
    work = Work("t")
    before = asl.run(definition, {}, resources={ARN: work})
    work.failing.clear()
    shown = asl.redrive(before, resources={ARN: work}).output["e"]
    assert shown["RedriveCount"] == 1
    assert shown["StartTime"] <= shown["RedriveTime"]
