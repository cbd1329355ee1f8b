"""The page on costs and cleanup: its transcripts are what the commands print."""

from __future__ import annotations

import re
import shutil
import urllib.request
from pathlib import Path

import boto3
import pytest

from scones_ml.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "costs-and-cleanup.md"


def transcripts() -> list[tuple[str, list[str]]]:
    """Every command of the page, and the lines that follow it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def alike(line: str) -> str:
    """A line without what differs from run to run: hashes, runs, addresses, times, what a few seconds cost, widths."""
    for pattern, word in (
        (r"\d{8}-\d{6}-[0-9a-f]{6}", "RUN"),
        (r"\b[0-9a-f]{32}\b", "HASH"),
        (r"scones-[0-9a-f]{12}\b", "scones-HASH"),
        (r"https?://\S+", "URL"),
        (r"\b\d+ s\b", "SECONDS"),
        (r"\$0\.0\d* so far", "DOLLARS so far"),
        (r"in 2 h (.*?) \$0\.0\d* +RUN", r"in 2 h \1 DOLLARS RUN"),
        (r"\s+", " "),
    ):
        line = re.sub(pattern, word, line)
    return line.strip()


def test_the_transcripts_are_true(
    tmp_path: Path,
    tiny_model: Path,
    moto_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command of the page, run in its order, prints what the page says."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")).close()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto_url,
        "SCONES_BUCKET": "your-bucket",
        "SCONES_ROLE": "arn:aws:iam::123456789012:role/scones",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="your-bucket")
    shutil.copytree(tiny_model, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    commands = transcripts()
    assert len(commands) == 5
    for command, said in commands:
        assert main(command.split()[1:]) == 0, command
        assert [alike(line) for line in capsys.readouterr().out.splitlines()] == [alike(line) for line in said]
