"""IAM policy statements with their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scones_ml.infrastructure.intrinsics import NO_VALUE, Value, either

__all__ = ["Policy", "Role", "Statement", "document"]


@dataclass(frozen=True)
class Statement:
    """One permission.

    Attributes:
        sid: its name within the policy.
        actions: IAM actions, each by its full name.
        resources: ARNs as template values.
        why: reason for the permission.
        unrestricted: why ``*`` is the narrowest that AWS has; empty for statements that name resources.
        when: the template's condition under which it exists; empty for always.
        principal: service in a resource policy, ``*`` for everybody; empty in a role's policy.
        effect: Allow or Deny.
        condition: the statement's IAM condition.
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[Value, ...]
    why: str
    unrestricted: str = ""
    when: str = ""
    principal: str = ""
    effect: str = "Allow"
    condition: Mapping[str, Value] = field(default_factory=dict)

    def to_json(self) -> Value:
        """The statement as a template value."""
        found: dict[str, Value] = {"Sid": self.sid, "Effect": self.effect}
        if self.principal:
            found["Principal"] = "*" if self.principal == "*" else {"Service": self.principal}
        found |= {"Action": list(self.actions), "Resource": list(self.resources)}
        if self.condition:
            found["Condition"] = self.condition
        return either(self.when, found, NO_VALUE) if self.when else found


@dataclass(frozen=True)
class Role:
    """A role that a service assumes.

    Attributes:
        name: its logical name in the template.
        service: the service that assumes it, ``"lambda.amazonaws.com"``.
        statements: its permissions.
        on_itself: permissions of a state machine on itself, in a separate policy, since machine and role refer to each
            other.
        when: the template's condition under which it exists; empty for always.
    """

    name: str
    service: str
    statements: tuple[Statement, ...]
    on_itself: tuple[Statement, ...] = ()
    when: str = ""


@dataclass(frozen=True)
class Policy:
    """A resource policy.

    Attributes:
        name: its logical name in the template.
        type: CloudFormation's resource type.
        target: the property that names the resource, and its value.
        statements: its permissions.
    """

    name: str
    type: str
    target: Mapping[str, Value]
    statements: tuple[Statement, ...]


def document(statements: tuple[Statement, ...]) -> Value:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": [statement.to_json() for statement in statements]}
