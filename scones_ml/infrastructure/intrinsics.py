"""CloudFormation's values and intrinsic functions as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["NO_VALUE", "Value", "either", "get_att", "ref", "sub"]

Value = Mapping[str, "Value"] | Sequence["Value"] | str | int | float | bool
"""A value in a template; CloudFormation has no null."""


def ref(name: str) -> Value:
    """A parameter's value, or a resource's physical name."""
    return {"Ref": name}


def get_att(resource: str, attribute: str = "Arn") -> Value:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [resource, attribute]}


def sub(text: str) -> Value:
    """Text with ``${Name}`` and ``${Resource.Attribute}`` filled in when the stack is deployed."""
    return {"Fn::Sub": text}


def either(condition: str, value: Value, otherwise: Value) -> Value:
    """``value`` if the condition holds."""
    return {"Fn::If": [condition, value, otherwise]}


NO_VALUE: Final[Value] = {"Ref": "AWS::NoValue"}
"""Leaves out the property that it is given to."""
