"""Retry, Catch, time limits: what happens when a task fails."""

from __future__ import annotations

import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml import asl
from scones_ml.asl.failures import matches
from scones_ml.asl.recovery import Retries
from scones_ml.errors import ConfigurationError

ARN = "arn:aws:lambda:us-east-1:111111111111:function:work"


class Flaky:
    """A function that raises the given errors, one per call, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, parameters: asl.Json) -> asl.Json:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def run(function: object, waits: list[float] | None = None, **fields: object) -> asl.Execution:
    states: dict[str, asl.State] = {
        "Work": asl.Task(resource=ARN, end=True, **fields),
        "Caught": asl.Pass(end=True),
    }
    if "catch" not in fields:
        del states["Caught"]
    machine = asl.StateMachine(start_at="Work", states=states)
    sleep = (waits if waits is not None else []).append
    return asl.run(machine, {"in": 1}, resources={ARN: function}, sleep=sleep, seed=0)


def failures(name: str, count: int) -> list[Exception]:
    return [asl.TaskFailed(name, "why")] * count


def test_waits_grow_by_the_backoff_rate() -> None:
    """Without jitter the waits are interval, interval times rate, and so on: 1, 2, 4 by default."""
    waits: list[float] = []
    work = Flaky(*failures("Oops", 3))
    execution = run(work, waits, retry=(asl.Retrier(error_equals=("Oops",)),))
    assert execution.output == "done"
    assert waits == [1, 2, 4]
    assert work.calls == 4


def test_attempts_run_out() -> None:
    """After MaxAttempts new attempts the error ends the execution."""
    waits: list[float] = []
    retry = asl.Retrier(error_equals=("Oops",), interval_seconds=3, backoff_rate=1.5, max_attempts=2)
    execution = run(Flaky(*failures("Oops", 9)), waits, retry=(retry,))
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "Oops", "why")
    assert waits == [3, 4.5]


def test_no_wait_is_longer_than_max_delay() -> None:
    """MaxDelaySeconds caps the waits."""
    waits: list[float] = []
    retry = asl.Retrier(error_equals=("States.ALL",), max_attempts=5, max_delay_seconds=5)
    run(Flaky(*failures("Oops", 9)), waits, retry=(retry,))
    assert waits == [1, 2, 4, 5, 5]


def test_each_retrier_counts_for_itself() -> None:
    """An error of another kind does not use up the attempts of the first retrier."""
    waits: list[float] = []
    retry = (
        asl.Retrier(error_equals=("A",), interval_seconds=1, backoff_rate=1, max_attempts=2),
        asl.Retrier(error_equals=("B",), interval_seconds=10, backoff_rate=1, max_attempts=1),
    )
    errors = [*failures("A", 1), *failures("B", 1), *failures("A", 1)]
    execution = run(Flaky(*errors), waits, retry=retry)
    assert execution.output == "done"
    assert waits == [1, 10, 1]


def test_the_first_retrier_that_matches_decides() -> None:
    """A used-up retrier is not followed by a later one that would match too."""
    retry = (
        asl.Retrier(error_equals=("A",), max_attempts=0),
        asl.Retrier(error_equals=("States.ALL",), max_attempts=5),
    )
    work = Flaky(*failures("A", 1))
    assert run(work, retry=retry).error == "A"
    assert work.calls == 1


@given(st.floats(0.1, 50), st.floats(1, 3), st.integers(1, 20), st.integers(0, 2**32))
def test_full_jitter_stays_between_nothing_and_the_computed_wait(
    interval: float, rate: float, cap: int, seed: int
) -> None:
    """JitterStrategy FULL draws from 0 to the wait that there would be without it."""
    plain = asl.Retrier(
        error_equals=("States.ALL",), interval_seconds=int(interval) or 1, backoff_rate=rate, max_delay_seconds=cap
    )
    jittered = asl.Retrier(
        error_equals=("States.ALL",),
        interval_seconds=int(interval) or 1,
        backoff_rate=rate,
        max_delay_seconds=cap,
        jitter_strategy="FULL",
    )
    exact, drawn = Retries([plain], seed), Retries([jittered], seed)
    for _ in range(3):
        most, wait = exact.pause("X"), drawn.pause("X")
        assert most is not None
        assert wait is not None
        assert 0 <= wait <= most <= cap
    assert drawn.pause("X") is None


@pytest.mark.parametrize(
    ("error", "names", "covered"),
    [
        ("Oops", ["Oops"], True),
        ("Oops", ["Other"], False),
        ("Oops", ["States.ALL"], True),
        ("Oops", ["States.TaskFailed"], True),
        ("States.Timeout", ["States.TaskFailed"], False),
        ("States.Timeout", ["States.Timeout"], True),
        ("States.HeartbeatTimeout", ["States.Timeout"], True),
        ("States.HeartbeatTimeout", ["States.ALL"], True),
        ("States.DataLimitExceeded", ["States.ALL"], False),
        ("States.DataLimitExceeded", ["States.TaskFailed"], False),
        ("States.DataLimitExceeded", ["States.DataLimitExceeded"], True),
        ("States.Runtime", ["States.ALL"], False),
        ("States.Runtime", ["States.Runtime"], False),
        ("States.Permissions", ["States.ALL"], True),
        (None, ["States.ALL"], True),
        (None, ["Oops"], False),
    ],
)
def test_names_match_as_on_aws(error: str | None, names: list[str], covered: bool) -> None:
    """Wildcards cover neither States.Runtime nor States.DataLimitExceeded, States.TaskFailed no time-out."""
    assert matches(error, names) is covered


def test_a_caught_error_goes_where_result_path_says() -> None:
    """The next state gets its input with Error and Cause at ResultPath."""
    catch = (asl.Catcher(error_equals=("Oops",), result_path="$.problem", next="Caught"),)
    execution = run(Flaky(*failures("Oops", 1)), catch=catch)
    assert execution.output == {"in": 1, "problem": {"Error": "Oops", "Cause": "why"}}
    assert [event.type for event in execution.history][-5:] == [
        "LambdaFunctionFailed",
        "TaskStateExited",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]


@pytest.mark.parametrize(
    ("path", "output"),
    [({"result_path": None}, {"in": 1}), ({}, {"Error": "Oops", "Cause": "why"})],
)
def test_a_caught_error_can_be_dropped_or_replace_the_input(path: dict[str, None], output: object) -> None:
    """ResultPath null keeps the input as it was; without ResultPath the error replaces it."""
    catch = (asl.Catcher(error_equals=("States.ALL",), next="Caught", **path),)
    assert run(Flaky(*failures("Oops", 1)), catch=catch).output == output


def test_retries_come_before_catch() -> None:
    """Catch applies once the retries are used up."""
    work = Flaky(*failures("Oops", 9))
    execution = run(
        work,
        retry=(asl.Retrier(error_equals=("Oops",), max_attempts=2),),
        catch=(asl.Catcher(error_equals=("Oops",), next="Caught"),),
    )
    assert execution.status == "SUCCEEDED"
    assert work.calls == 3


def test_an_exception_becomes_lambda_s_error() -> None:
    """The error is the class name; the cause is the JSON that the Python Lambda runtime sends."""

    class NotABicycleError(Exception):
        pass

    execution = run(Flaky(NotABicycleError("it has no wheels")))
    cause = json.loads(str(execution.cause))
    assert execution.error == "NotABicycleError"
    assert list(cause) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert cause["errorMessage"] == "it has no wheels"
    assert cause["errorType"] == "NotABicycleError"
    assert "raise self.errors.pop(0)" in cause["stackTrace"][0]


def test_the_context_object_counts_retries() -> None:
    """$$.State.RetryCount is 0 at first and grows with each retry."""
    seen: list[asl.Json] = []

    def work(parameters: asl.Json) -> asl.Json:
        seen.append(parameters)
        raise ValueError

    run(work, parameters={"n.$": "$$.State.RetryCount"}, retry=(asl.Retrier(error_equals=("ValueError",)),))
    assert seen == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}]


def test_a_task_that_overruns_fails_at_its_deadline() -> None:
    """TimeoutSeconds ends the wait with States.Timeout; the late answer changes nothing."""
    release, answered = threading.Event(), threading.Event()

    def slow(parameters: asl.Json) -> asl.Json:
        release.wait(10)
        answered.set()
        return "late"

    begun = time.monotonic()
    execution = run(slow, timeout_seconds=1)
    assert 0.9 < time.monotonic() - begun < 5
    assert (execution.status, execution.error) == ("FAILED", "States.Timeout")
    assert [event.type for event in execution.history][-2:] == ["LambdaFunctionTimedOut", "ExecutionFailed"]
    events = len(execution.history)
    release.set()
    assert answered.wait(5)
    assert len(execution.history) == events


def test_no_thread_remains_once_the_function_has_returned() -> None:
    """Neither a task within its limit nor one beyond it leaves a thread behind."""
    release = threading.Event()
    before = set(threading.enumerate())
    run(lambda parameters: "quick", timeout_seconds=5)
    run(lambda parameters: release.wait(10), timeout_seconds=1)
    release.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert not [thread for thread in threading.enumerate() if thread not in before]


def test_the_limit_can_come_from_the_input() -> None:
    """TimeoutSecondsPath is read from the state's input."""
    machine = asl.StateMachine(
        start_at="Work", states={"Work": asl.Task(resource=ARN, timeout_seconds_path="$.limit", end=True)}
    )
    execution = asl.run(machine, {"limit": 7}, resources={ARN: lambda parameters: 1})
    scheduled = execution.history[2]
    assert scheduled.type == "LambdaFunctionScheduled"
    assert scheduled.data["timeout_in_seconds"] == 7


def test_a_machine_that_waits_too_long_times_out() -> None:
    """Beyond the machine's TimeoutSeconds the execution is TIMED_OUT, on the clock that the injected sleep moves."""
    waited: list[float] = []
    machine = asl.StateMachine(start_at="Wait", timeout_seconds=60, states={"Wait": asl.Wait(seconds=3600, end=True)})
    execution = asl.run(machine, {}, resources={}, sleep=waited.append)
    assert (execution.status, execution.error) == ("TIMED_OUT", "States.Timeout")
    assert execution.history[-1].type == "ExecutionTimedOut"
    assert waited[0] == pytest.approx(60, abs=1)


def test_retries_count_against_the_machine_s_time() -> None:
    """Waiting between attempts can use up the machine's time, and Catch does not cover that."""
    machine = asl.StateMachine(
        start_at="Work",
        timeout_seconds=5,
        states={
            "Work": asl.Task(
                resource=ARN,
                retry=(asl.Retrier(error_equals=("States.ALL",), max_attempts=99),),
                catch=(asl.Catcher(error_equals=("States.ALL",), next="Caught"),),
                end=True,
            ),
            "Caught": asl.Pass(end=True),
        },
    )
    execution = asl.run(machine, {}, resources={ARN: Flaky(*failures("Oops", 99))}, sleep=lambda seconds: None)
    assert execution.status == "TIMED_OUT"


def test_a_resource_without_a_function_is_named() -> None:
    """Reaching a task without a function is an error that names its Resource."""
    machine = asl.StateMachine(start_at="Work", states={"Work": asl.Task(resource=ARN, end=True)})
    with pytest.raises(ConfigurationError, match="no function for the Resource arn:aws:lambda"):
        asl.run(machine, {}, resources={})


def test_an_answer_without_a_json_form_is_a_marshal_error() -> None:
    """Results without a JSON form fail as in the Python Lambda runtime."""
    execution = run(lambda parameters: object())
    assert execution.error == "Runtime.MarshalError"
    assert "not JSON serializable" in str(execution.cause)
    assert run(lambda parameters: float("nan")).error == "Runtime.MarshalError"


def test_a_function_gets_a_copy_of_its_own() -> None:
    """A function that changes its parameters changes nothing else."""

    def vandal(parameters: asl.Json) -> asl.Json:
        parameters["in"] = "changed"
        return {"ok": True}

    execution = run(vandal, result_path="$.result")
    assert execution.output == {"in": 1, "result": {"ok": True}}
