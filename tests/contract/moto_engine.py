"""moto's Step Functions interpreter as a process: definitions and inputs come in by line, outcomes go out by line."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Answer ``{"definition", "input"}`` lines with ``{"status", "output", "error", "cause"}`` lines."""
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    import boto3
    from moto import mock_aws

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever moto prints must not mix with the answers
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        client = boto3.client("stepfunctions")
        role = boto3.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        for number, line in enumerate(sys.stdin):
            answers.write(json.dumps(_run(client, role, number, json.loads(line))) + "\n")
            answers.flush()


def _run(client: Any, role: str, number: int, case: dict[str, Any]) -> dict[str, Any]:
    try:
        machine = client.create_state_machine(
            name=f"machine-{number}", definition=json.dumps(case["definition"]), roleArn=role
        )["stateMachineArn"]
    except Exception as error:  # moto answers some definitions with an exception of its own
        return {"status": "REFUSED", "cause": str(error)}
    execution = client.start_execution(stateMachineArn=machine, name=f"run-{number}", input=json.dumps(case["input"]))[
        "executionArn"
    ]
    deadline = time.monotonic() + 20
    while (found := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            return {"status": "HANGS"}
        time.sleep(0.001)
    output = found.get("output")
    return {"status": found["status"], "output": output, "error": found.get("error"), "cause": found.get("cause")}


if __name__ == "__main__":
    main()
