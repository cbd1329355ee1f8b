"""What the documentation shows of the template."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from scones_ml.cost import __main__ as cost
from scones_ml.infrastructure import TemplateSettings, pages, template
from scones_ml.infrastructure.__main__ import main
from scones_ml.infrastructure.definitions import machines
from scones_ml.infrastructure.permissions import policies, roles
from scones_ml.packaging import PackageRequest, Target

DOCS = Path(__file__).parents[2] / "docs"


def block(page: str, name: str) -> str:
    """What stands between a page's markers."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return text.split(f"<!-- begin: {name} -->\n")[1].split(f"<!-- end: {name} -->")[0]


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("deploy.md", "architecture"),
        ("deploy.md", "parameters"),
        ("security.md", "permissions"),
    ],
)
def test_pages_show_what_the_code_says(page: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Between its markers a page holds what `python -m scones_ml.infrastructure NAME` prints."""
    assert main([name]) == 0
    printed = capsys.readouterr().out
    assert block(page, name) == (f"```mermaid\n{printed}```\n" if name == "architecture" else printed)


def test_the_costs_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Between its markers the page holds what `python -m scones_ml.cost` prints, which takes no arguments."""
    assert cost.main([]) == 0
    assert block("deploy.md", "costs") == capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        cost.main(["--images", "5"])


def test_the_image_shows_every_function_and_every_way() -> None:
    """All functions, machines, buckets, rules, queue and topic are in the image, and events lead to outcomes."""
    text = pages.architecture()
    drawn = ("Serverless::Function", "StateMachine", "S3::Bucket", "Events::Rule", "SQS::Queue", "SNS::Topic")
    for name, held in template()["Resources"].items():  # type: ignore[union-attr]
        if str(held["Type"]).endswith(drawn):  # type: ignore[index,call-overload]
            assert f"    {name}" in text
    way = ["InputBucket", "ImageCreatedRule", "ImageClassification", "OutputBucket"]
    for one, other in pairwise(way):
        assert re.search(rf"^    {one} -.*> {other}$", text, re.MULTILINE)


def test_every_name_in_the_image_is_a_node() -> None:
    """Arrows lead from node to node."""
    lines = pages.architecture().splitlines()[1:]
    nodes = {match[1] for line in lines if (match := re.fullmatch(r"    (\w+)[\[({].*", line))}
    for line in lines:
        if "--" in line or "-." in line:
            start, end = line.split()[0], line.split()[-1]
            assert {start, end} <= nodes, line


def test_every_permission_is_listed_with_its_reason() -> None:
    """The security page names each action once per role, with a reason; a star has one more."""
    text = block("security.md", "permissions")
    rows = text.splitlines()[2:]
    statements = [held for role in roles(machines(TemplateSettings())) for held in (*role.statements, *role.on_itself)]
    statements += [held for policy in policies() for held in policy.statements]
    assert len(rows) == len(statements)
    for row, statement in zip(rows, statements, strict=True):
        assert all(f"`{action}`" in row for action in statement.actions)
        assert statement.why in row
        starred = statement.effect == "Allow" and "*" in statement.resources
        assert starred == bool(statement.unrestricted)
        assert statement.unrestricted in row


def test_no_action_is_a_wildcard() -> None:
    """Allowed actions are named one by one."""
    for role in roles(machines(TemplateSettings())):
        for statement in (*role.statements, *role.on_itself):
            assert not any("*" in action for action in statement.actions)


def test_packages_are_built_where_the_template_looks() -> None:
    """`scones package` builds for the template's Python and both processors, into the folders that CodeUri names."""
    whole = template()
    assert whole["Globals"]["Function"]["Runtime"] == f"python{Target().python}"  # type: ignore[index,call-overload]
    for architecture in whole["Parameters"]["Architecture"]["AllowedValues"]:  # type: ignore[index,call-overload]
        assert Target(architecture=architecture).platforms
    request = PackageRequest()
    built = {f"../{request.folder}/{name}" for name in request.functions}
    named = {
        held["Properties"]["CodeUri"]  # type: ignore[index,call-overload]
        for held in whole["Resources"].values()  # type: ignore[union-attr]
        if held["Type"] == "AWS::Serverless::Function"  # type: ignore[index,call-overload]
    }
    assert named <= built


@pytest.mark.parametrize("page", ["deploy.md", "security.md", "live-checks.md"])
def test_links_lead_to_files(page: str) -> None:
    """Relative links of a page lead to files that exist."""
    for target in re.findall(r"\]\((?!https:)([^)#]+)\)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / target).exists(), target
