"""Speed of state machines, compared with moto's interpreter.

Claims, each for serialize -> classify -> filter with stub functions, every task with its time limit, history kept:

- JSONPath: at least 3,000 executions a second, and 100 times less processor time than moto;
- JSONata: at least 1,000 executions a second;
- 10,000 executions in a row grow memory by less than 10 MB;
- a Map of 10,000 items in at most 3 s;
- importing `scones_ml.asl` costs at most 60 ms of processor time.

Conditions: one core, to which this process and its children are bound; processor time of the whole process, best of
five rounds; moto runs the same definition in a separate process, with its in-process substitute for Lambda, also best
of its rounds. The floor is a lower bound for any interpreter: calling the three functions and converting their data to
JSON and back as often as a state machine must.
Run it: ``python benchmarks/asl.py [--json]``; exit code 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scones_ml import asl

INVOKE = "arn:aws:states:::lambda:invoke"
FUNCTIONS = ("serialize", "classify", "filter")
START: dict[str, asl.Json] = {"s3_bucket": "images", "s3_key": "incoming/bicycle_s_000513.png"}
LIMITS = {
    "jsonpath_per_second": 3_000.0,
    "times_moto": 100.0,
    "jsonata_per_second": 1_000.0,
    "growth_mb": 10.0,
    "map_seconds": 3.0,
    "import_ms": 60.0,
}


def machine(language: str) -> dict[str, asl.Json]:
    """Three Lambda tasks in a row."""
    states: dict[str, asl.Json] = {}
    for name, following in zip(FUNCTIONS, (*FUNCTIONS[1:], None), strict=True):
        flow: dict[str, asl.Json]
        if language == "JSONPath":
            flow = {"Parameters": {"FunctionName": name, "Payload.$": "$"}, "OutputPath": "$.Payload"}
        else:
            flow = {
                "Arguments": {"FunctionName": name, "Payload": "{% $states.input %}"},
                "Output": "{% $states.result.Payload %}",
            }
        after: dict[str, asl.Json] = {"End": True} if following is None else {"Next": following}
        states[name] = {"Type": "Task", "Resource": INVOKE, "TimeoutSeconds": 60, **flow, **after}
    return {"QueryLanguage": language, "StartAt": FUNCTIONS[0], "States": states}


def stub(parameters: asl.Json) -> asl.Json:
    """Lambda's response: the payload unchanged."""
    return {"StatusCode": 200, "Payload": parameters["Payload"]}  # type: ignore[call-overload,index]


def milliseconds(run: Callable[[], object], times: int) -> float:
    """Processor time of one call, best of five rounds."""
    run()
    rounds = []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(times):
            run()
        rounds.append((time.process_time() - begun) / times * 1e3)
    return min(rounds)


def measure_language(language: str) -> float:
    """Milliseconds of processor time for one execution."""
    definition = asl.StateMachine.from_json(machine(language))
    return milliseconds(lambda: asl.run(definition, START, resources={INVOKE: stub}), 400)


def measure_floor() -> float:
    """Milliseconds for the three calls and the necessary JSON conversions."""

    def bare() -> None:
        document: asl.Json = START
        for name in FUNCTIONS:
            given = json.loads(json.dumps({"FunctionName": name, "Payload": document}))
            document = json.loads(json.dumps(stub(given)))["Payload"]

    return milliseconds(bare, 1_000)


def measure_moto() -> float:
    """Milliseconds of processor time for one execution on moto, in a separate process."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    done = subprocess.run(
        [sys.executable, __file__, "--moto"], capture_output=True, text=True, env=environment, check=True
    )
    return float(done.stdout.splitlines()[-1])


def run_moto() -> float:
    """Run the same definition on moto, in this process."""
    import boto3
    from moto import mock_aws

    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}):
        client = boto3.client("stepfunctions")
        role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        for name in FUNCTIONS:
            boto3.client("lambda").create_function(
                FunctionName=name,
                Runtime="python3.11",
                Role=role,
                Handler="x.y",
                Code={"ZipFile": b"PK\5\6" + bytes(18)},
            )
        arn = client.create_state_machine(name="m", definition=json.dumps(machine("JSONPath")), roleArn=role)[
            "stateMachineArn"
        ]
        number = iter(range(10**6))

        def one() -> None:
            name = f"run-{next(number)}"
            execution = client.start_execution(stateMachineArn=arn, name=name, input=json.dumps(START))["executionArn"]
            while (found := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
                time.sleep(0.002)
            if found["status"] != "SUCCEEDED":
                raise SystemExit(f"moto: {found}")

        return milliseconds(one, 10)


def measure_growth() -> float:
    """Growth of the process in megabytes over 10,000 executions, after 1,000 to warm up."""
    definition = asl.StateMachine.from_json(machine("JSONPath"))

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    for _ in range(1_000):
        asl.run(definition, START, resources={INVOKE: stub})
    before = resident()
    for _ in range(10_000):
        asl.run(definition, START, resources={INVOKE: stub})
    return resident() - before


def measure_map() -> float:
    """Seconds for a distributed Map over 10,000 items with a task each."""
    task: dict[str, asl.Json] = {"Type": "Task", "Resource": INVOKE, "Parameters": {"Payload.$": "$"}, "End": True}
    definition: dict[str, asl.Json] = {
        "StartAt": "All",
        "States": {
            "All": {
                "Type": "Map",
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
                    "StartAt": "One",
                    "States": {"One": task},
                },
                "ResultSelector": {"n.$": "States.ArrayLength($)"},
                "End": True,
            }
        },
    }
    begun = time.perf_counter()
    execution = asl.run(definition, list(range(10_000)), resources={INVOKE: lambda parameters: parameters["Payload"]})  # type: ignore[call-overload,index]
    if execution.output != {"n": 10_000}:
        raise SystemExit(f"the Map ended with {execution}")
    return time.perf_counter() - begun


def measure_import() -> float:
    """Milliseconds of processor time above the bare interpreter, best of nine."""

    def cost(code: str) -> float:
        spent = []
        for _ in range(9):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(spent) * 1e3

    return cost("import scones_ml.asl") - cost("pass")


def main() -> int:
    """Print the table; return 1 if a claim does not hold."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--json", action="store_true", help="one JSON document")
    options.add_argument("--moto", action="store_true", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.moto:
        print(run_moto())
        return 0
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    growth = measure_growth() if Path("/proc/self/statm").exists() else 0.0
    path, jsonata, floor, moto = (
        measure_language("JSONPath"),
        measure_language("JSONata"),
        measure_floor(),
        measure_moto(),
    )
    found = {
        "jsonpath_per_second": 1e3 / path,
        "times_moto": moto / path,
        "jsonata_per_second": 1e3 / jsonata,
        "growth_mb": growth,
        "map_seconds": measure_map(),
        "import_ms": measure_import(),
    }
    holds = {
        name: value >= LIMITS[name] if name.endswith(("second", "moto")) else value <= LIMITS[name]
        for name, value in found.items()
    }
    if arguments.json:
        print(
            json.dumps(
                {"ms": {"jsonpath": path, "jsonata": jsonata, "floor": floor, "moto": moto}, **found, "holds": holds}
            )
        )
        return int(not all(holds.values()))
    for name, value in {"JSONPath": path, "JSONata": jsonata, "moto": moto, "floor": floor}.items():
        print(f"{name:>10} {value:9.3f} ms a run {1e3 / value:9.0f} a second")
    for name, value in found.items():
        print(f"{name:>20} {value:9.1f}  claim {LIMITS[name]:7.0f}  {'holds' if holds[name] else 'does NOT hold'}")
    return int(not all(holds.values()))


if __name__ == "__main__":
    sys.exit(main())
