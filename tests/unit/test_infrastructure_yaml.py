"""Our YAML, read back by other projects' readers."""

from __future__ import annotations

import yaml
from cfnlint.decode import cfn_yaml
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.infrastructure.intrinsics import Value, get_att, ref, sub
from scones_ml.infrastructure.yaml import to_yaml

AWKWARD = [
    "",
    "yes",
    "Off",
    "null",
    "~",
    "0x1f",
    "1_000",
    "1e3",
    "2010-09-09",
    "a: b",
    "a #b",
    "- a",
    "'",
    '"',
    "!Ref a",
]
AWKWARD += ["*", "&a", "{a}", "[a]", "%", "@", "`", " a", "a ", "a\nb", "a\n\nb\n", "a\nb\n", "|", ">", "?", "a:", "\t"]
TEXTS = (
    st.sampled_from(AWKWARD)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]))
    | st.text("a \n:#-")
)
SCALARS = TEXTS | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False, width=32)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


@given(VALUES)
def test_any_value_comes_back(value: Value) -> None:
    """What is written is read back unchanged, whatever texts a YAML reader might take for something else."""
    assert yaml.safe_load(to_yaml(value)) == value


def test_intrinsics_are_written_as_tags() -> None:
    """References, attributes and substitutions get CloudFormation's short forms, which its readers undo."""
    value = {"A": ref("AWS::Region"), "B": [get_att("Queue"), sub("${AWS::StackName}-x")], "C": {"Fn::If": ["D", 1, 2]}}
    text = to_yaml(value)
    assert text == (
        'A: !Ref AWS::Region\nB:\n  - !GetAtt Queue.Arn\n  - !Sub "${AWS::StackName}-x"\n'
        "C:\n  Fn::If:\n    - D\n    - 1\n    - 2\n"
    )
    assert cfn_yaml.loads(text) == value


def test_lines_stay_lines() -> None:
    """Text of several lines is a literal block, so that a definition can be read in the template."""
    assert to_yaml({"Definition": '{\n  "a": 1\n}\n'}) == 'Definition: |\n  {\n    "a": 1\n  }\n'
