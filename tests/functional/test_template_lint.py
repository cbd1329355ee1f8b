"""The template under AWS's own offline tools: cfn-lint, and SAM's translator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.decode import cfn_yaml
from samtranslator.translator.transform import transform

from scones_ml.infrastructure import TemplateSettings, template, template_text

COMMITTED = Path(__file__).parents[2] / "workflows" / "template.yaml"
SETTINGS = [
    TemplateSettings(),
    TemplateSettings(workflow_type="EXPRESS", below_threshold="fail", log_retention_days=7),
]
EXCEPTIONS: dict[str, str] = {}
"""Findings that stand, each rule with its reason: none so far."""


class NoManagedPolicies:
    """SAM asks for AWS's managed policies by name; we use none."""

    def load(self) -> dict[str, str]:
        return {}


def findings(text: str) -> list[str]:
    config = ManualArgs(regions=["us-east-1", "eu-central-1"], include_checks=["I"])
    return [str(match) for match in lint(text, config=config) if match.rule.id not in EXCEPTIONS]


def translated(settings: TemplateSettings) -> dict[str, Any]:
    """The CloudFormation template that SAM makes of ours once the code is uploaded."""
    whole = json.loads(json.dumps(template(settings)))
    for resource in whole["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://artifacts/code.zip"
    return dict(transform(whole, {}, NoManagedPolicies()))


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_the_committed_template_is_what_the_code_holds() -> None:
    """Read by cfn-lint's reader, the committed file is the very data that the code builds."""
    assert cfn_yaml.loads(COMMITTED.read_text(encoding="utf-8")) == json.loads(json.dumps(template()))


@pytest.mark.parametrize("settings", SETTINGS, ids=["standard", "express"])
def test_cfn_lint_finds_nothing(settings: TemplateSettings) -> None:
    """cfn-lint has nothing to say about the SAM template, not even by way of information."""
    assert findings(template_text(settings)) == []


@pytest.mark.parametrize("settings", SETTINGS, ids=["standard", "express"])
def test_cfn_lint_finds_nothing_in_the_translated_template(settings: TemplateSettings) -> None:
    """Behind SAM's transform, where cfn-lint reads IAM policies too, it has nothing to say either."""
    assert findings(json.dumps(translated(settings))) == []


def test_cfn_lint_would_find_a_mistake() -> None:
    """A wrong runtime and a misspelled IAM action are found: the silence above means something."""
    whole = translated(TemplateSettings())
    whole["Resources"]["ClassifyImageDataFunction"]["Properties"]["Runtime"] = "python3.99"
    policy = whole["Resources"]["ClassifyImageDataRole"]["Properties"]["Policies"][0]
    policy["PolicyDocument"]["Statement"][0]["Action"] = ["s3:GetObjekt"]
    found = "".join(findings(json.dumps(whole)))
    assert "python3.99" in found
    assert "getobjekt" in found.lower()


def test_sam_adds_no_role_of_its_own() -> None:
    """Every role is ours: SAM, which would give a function AWS's managed policies, adds none."""
    ours = {name for name, held in template()["Resources"].items() if held["Type"] == "AWS::IAM::Role"}  # type: ignore
    made = translated(TemplateSettings())["Resources"]
    assert {name for name, held in made.items() if held["Type"] == "AWS::IAM::Role"} == ours
    assert not any("ManagedPolicyArns" in held.get("Properties", {}) for held in made.values())


def test_the_template_fits() -> None:
    """CloudFormation takes a megabyte by way of S3, where sam deploy puts it; the file is far below."""
    assert COMMITTED.stat().st_size < 200_000
