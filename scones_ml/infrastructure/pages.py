"""Blocks of the documentation: a template's diagram, parameters and permissions, in Markdown.

All blocks are derived from the template, and tests compare the pages with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from scones_ml.infrastructure.definitions import machines
from scones_ml.infrastructure.intrinsics import Value
from scones_ml.infrastructure.parameters import TemplateSettings, parameters
from scones_ml.infrastructure.permissions import policies, roles
from scones_ml.infrastructure.statements import Statement
from scones_ml.infrastructure.template import template

__all__ = ["architecture", "markdown_table", "parameter_table", "permission_table", "references"]

_NAME = re.compile(r"\$\{(\w+)")
_SHAPES = {
    "AWS::S3::Bucket": '[("{}")]',
    "AWS::Events::Rule": '{{{{"{}"}}}}',
    "AWS::StepFunctions::StateMachine": '[["{}"]]',
    "AWS::Serverless::Function": '["{}"]',
    "AWS::SQS::Queue": '[/"{}"/]',
    "AWS::SNS::Topic": '(["{}"])',
}
_OUTSIDE = {"EndpointName": ("Endpoint", "SageMaker endpoint"), "ModelUri": ("Model", "model.tar.gz")}


def architecture(settings: TemplateSettings | None = None) -> str:
    """The template as a Mermaid flow chart: permitted calls, triggers of executions, and failures.

    Dotted lines are for optional features and failures.
    """
    resources = _mapping(template(settings)["Resources"])
    nodes = {
        name: _SHAPES[kind].format(name)
        for name, resource in resources.items()
        if (kind := str(_mapping(resource)["Type"])) in _SHAPES
    }
    outside = {node: f'("{label}")' for node, label in _OUTSIDE.values()}
    nodes |= outside | {"Alarms": f'{{{{"{len(_alarms(resources))} alarms"}}}}'}
    lines = [f"    {name}{shape}" for name, shape in nodes.items()]
    edges = [*_events(resources), *_calls(resources), "Alarms -.-> AlarmTopic"]
    return "\n".join(["flowchart LR", *lines, *(f"    {edge}" for edge in edges)]) + "\n"


def parameter_table(settings: TemplateSettings | None = None) -> str:
    """The template's parameters as a Markdown table."""
    rows = [("parameter", "meaning", "by default"), ("---",) * 3]
    for name, held in parameters(settings or TemplateSettings()).items():
        parameter = _mapping(held)
        default = parameter.get("Default", "required")
        shown = f"`{default}`" if "Default" in parameter and default != "" else str(default) or "empty"
        rows.append((f"`{name}`", str(parameter["Description"]), shown))
    return markdown_table(rows)


def permission_table(settings: TemplateSettings | None = None) -> str:
    """Every permission as a Markdown table: principal, action, resource and reason."""
    settings = settings or TemplateSettings()
    rows = [("who", "may", "on", "because"), ("---",) * 4]
    for role in roles(machines(settings)):
        held = (*role.statements, *role.on_itself)
        rows += [_row(role.name.removesuffix("Role"), statement) for statement in held]
    for policy in policies():
        rows += [_row(_principal(statement), statement) for statement in policy.statements]
    return markdown_table(rows)


def markdown_table(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows as a Markdown table; the first are the headings, the second the rule below them."""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def references(value: Value) -> Iterator[str]:
    """All parameters and resources that a template's value refers to."""
    if isinstance(value, str):
        return
    if isinstance(value, Mapping):
        for key, held in value.items():
            if key == "Ref" and isinstance(held, str):
                yield held
            elif key == "Fn::GetAtt" and isinstance(held, Sequence):
                yield str(held[0])
            elif key == "Fn::Sub":
                yield from _NAME.findall(held if isinstance(held, str) else str(_sequence(held)[0]))
                yield from () if isinstance(held, str) else references(held)
            else:
                yield from references(held)
    elif isinstance(value, Sequence):
        for held in value:
            yield from references(held)


def _events(resources: Mapping[str, Value]) -> Iterator[str]:
    """Edges of a rule: its sources and targets."""
    for name, resource in resources.items():
        if _mapping(resource)["Type"] != "AWS::Events::Rule":
            continue
        properties = _mapping(_mapping(resource)["Properties"])
        for source in references(properties["EventPattern"]):
            if source in resources:
                yield f"{source} --> {name}"
        for target in map(_mapping, _sequence(properties["Targets"])):
            yield f"{name} --> {next(references(target['Arn']))}"
            if "DeadLetterConfig" in target:
                yield f"{name} -. undelivered .-> {next(references(target['DeadLetterConfig']))}"


def _calls(resources: Mapping[str, Value]) -> Iterator[str]:
    """Edges of the roles of functions and state machine to our resources."""
    for owner, resource in resources.items():
        properties = _mapping(_mapping(resource).get("Properties", {}))
        role = properties.get("Role", properties.get("RoleArn"))
        if role is None:
            continue
        policy = _mapping(_sequence(_mapping(_mapping(resources[next(references(role))])["Properties"])["Policies"])[0])
        for held in _sequence(_mapping(policy["PolicyDocument"])["Statement"]):
            choice = _mapping(held).get("Fn::If")
            statement = _mapping(_sequence(choice)[1] if choice else held)
            label = str(_sequence(statement["Action"])[0]).partition(":")[2]
            if label == "ListBucket":  # only a side effect of reading an object
                continue
            arrow = "-." if choice else "--"
            for name in dict.fromkeys(references(statement["Resource"])):
                target = _OUTSIDE[name][0] if name in _OUTSIDE else name
                if name in _OUTSIDE or _is_drawn(resources, name):
                    yield f"{owner} {arrow} {label} {arrow[::-1] if choice else arrow}> {target}"


def _is_drawn(resources: Mapping[str, Value], name: str) -> bool:
    return name in resources and _mapping(resources[name])["Type"] in _SHAPES


def _alarms(resources: Mapping[str, Value]) -> list[str]:
    return [name for name, held in resources.items() if _mapping(held)["Type"] == "AWS::CloudWatch::Alarm"]


def _row(who: str, statement: Statement) -> tuple[str, str, str, str]:
    because = statement.why
    if statement.unrestricted:
        because += f"; all resources, since {statement.unrestricted}"
    if statement.when:
        because += f" (with {statement.when})"
    verb = "not " if statement.effect == "Deny" else ""
    conditions = [
        f"{key} is {_shown(held)}" for test in statement.condition.values() for key, held in _mapping(test).items()
    ]
    if conditions:
        because += f" (when {', '.join(conditions)})"
    return (
        who,
        verb + ", ".join(f"`{action}`" for action in statement.actions),
        ", ".join(_shown(resource) for resource in statement.resources),
        because,
    )


def _principal(statement: Statement) -> str:
    return {"*": "everybody"}.get(statement.principal, statement.principal)


def _shown(value: Value) -> str:
    """Readable form of an ARN or a name."""
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, Mapping):
        name, held = next(iter(value.items()))
        if name == "Fn::Sub":
            return f"`{held if isinstance(held, str) else _sequence(held)[0]}`"
        return f"`{'.'.join(map(str, held)) if isinstance(held, list) else held}`"
    return ", ".join(map(_shown, _sequence(value)))


def _mapping(value: Value) -> Mapping[str, Value]:
    assert isinstance(value, Mapping)  # noqa: S101 - what a template holds here
    return value


def _sequence(value: Value) -> Sequence[Value]:
    assert isinstance(value, Sequence)  # noqa: S101 - what a template holds here
    return value
