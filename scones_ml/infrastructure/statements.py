"""What a permission is: one statement of an IAM policy, with its reason."""

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
        why: what needs it.
        unrestricted: why ``*`` is the narrowest that AWS has; empty for statements that name resources.
        when: the template's condition under which it is there; empty for always.
        principal: in a resource policy, the service that it speaks of, ``*`` for everybody; empty in a role's.
        effect: Allow or Deny.
        condition: IAM's own condition.
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
        """The statement as a template holds it."""
        found: dict[str, Value] = {"Sid": self.sid, "Effect": self.effect}
        if self.principal:
            found["Principal"] = "*" if self.principal == "*" else {"Service": self.principal}
        found |= {"Action": list(self.actions), "Resource": list(self.resources)}
        if self.condition:
            found["Condition"] = self.condition
        return either(self.when, found, NO_VALUE) if self.when else found


@dataclass(frozen=True)
class Role:
    """What one service may do for us.

    Attributes:
        name: its logical name in the template.
        service: who takes it on, ``"lambda.amazonaws.com"``.
        statements: what it may do.
        on_itself: what a state machine may do with itself; a policy apart, since machine and role name each other.
        when: the template's condition under which it is there; empty for always.
    """

    name: str
    service: str
    statements: tuple[Statement, ...]
    on_itself: tuple[Statement, ...] = ()
    when: str = ""


@dataclass(frozen=True)
class Policy:
    """Who may use one of our resources.

    Attributes:
        name: its logical name in the template.
        type: CloudFormation's resource type.
        target: the property that names the resource, and its value.
        statements: who may do what with it.
    """

    name: str
    type: str
    target: Mapping[str, Value]
    statements: tuple[Statement, ...]


def document(statements: tuple[Statement, ...]) -> Value:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": [statement.to_json() for statement in statements]}
