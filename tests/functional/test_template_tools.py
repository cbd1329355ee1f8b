"""The template under tools that live in environments of their own; without them these tests are skipped."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "workflows" / "template.yaml"


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: put it into an environment of its own, and that on the PATH")
    return path


def test_sam_validates_the_template() -> None:
    """`sam validate --lint` finds nothing."""
    command = [tool("sam"), "validate", "--lint", "--template-file", str(TEMPLATE), "--region", "us-east-1"]
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_checkov_finds_only_what_has_a_reason() -> None:
    """What checkov finds is exactly what the security page lists, each with its reason."""
    command = [tool("checkov"), "--file", str(TEMPLATE), "--framework", "cloudformation", "--output", "json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {row["check_id"] for row in json.loads(done.stdout)["results"]["failed_checks"]}
    rows = re.findall(r"^\| (CKV_[^|]+) \|", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert found == {check for row in rows for check in row.split(", ")}
