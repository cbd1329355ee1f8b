"""Reference paths and what becomes of them."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.asl.paths import PathNotFoundError, PathSyntaxError, parse, parse_reference, replace

DOCUMENT = {
    "a": {"b": [10, {"c": 1}, {"c": 2}], "d e": "spaced", "x-y": 5, "it's": 6},
    "list": [{"k": 1}, {"k": 2}, {"other": 3}],
    "null": None,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", DOCUMENT),
        ("$.a.b[0]", 10),
        ("$.a.b[-1].c", 2),
        ("$.a['d e']", "spaced"),
        ('$["a"]["x-y"]', 5),
        ("$.a.x-y", 5),
        ("$.a['it\\'s']", 6),
        ("$.null", None),
        ("$.list[*].k", [1, 2]),
        ("$.a.b[*].c", [1, 2]),
        ("$.missing[*]", []),
        ("$.a.b[1:3]", [{"c": 1}, {"c": 2}]),
        ("$.list[?(@.k==2)]", [{"k": 2}]),
        ("$.list[?(@.k > 0)].k", [1, 2]),
        ("$..c", [1, 2]),
        ("$.list.length()", 3),
        ("$.a.b[(@.length-1)].c", 2),
        ("$.a.b[0,2]", [10, {"c": 2}]),
    ],
)
def test_a_path_leads_to_its_value(path: str, value: object) -> None:
    """A path finds what it names; one that may name several things finds a list."""
    assert parse(path).find(DOCUMENT) == value


@pytest.mark.parametrize("path", ["$.nope", "$.a.b[9]", "$.a.b.c", "$.list.k", "$.null.x", "$.a['b'].x"])
def test_a_path_to_nowhere_is_not_found(path: str) -> None:
    """A definite path without a value raises instead of giving null."""
    with pytest.raises(PathNotFoundError):
        parse(path).find(DOCUMENT)


@pytest.mark.parametrize("path", ["a.b", "", "$.[", "$[?(", "$.a.b[", "x$.a"])
def test_text_that_is_no_path_is_refused(path: str) -> None:
    """A malformed path is an error of its own, not a missing value."""
    with pytest.raises(PathSyntaxError):
        parse(path)


@pytest.mark.parametrize("path", ["$.a[*]", "$$.Execution.Id", "$.a[?(@.b)]", "$..a", "$.a[0:1]"])
def test_a_result_path_names_one_place(path: str) -> None:
    """What could name several places, or the context object, is no reference path."""
    with pytest.raises(PathSyntaxError):
        parse_reference(path)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), JSON)
def test_what_is_put_at_a_path_is_found_there(names: list[str], value: object) -> None:
    """Replacing at a path and reading it back gives the same value, whatever the members are called."""
    document = replace({}, names, value)
    path = "$" + "".join("['" + name.replace("'", "\\'") + "']" for name in names)
    if not any("\\" in name for name in names):
        assert parse(path).find(document) == value


@given(JSON, st.lists(st.sampled_from(["a", "b", 0, 1]), max_size=3), JSON)
def test_replacing_never_changes_the_document(document: object, way: list[str | int], value: object) -> None:
    """A document that was passed on stays as it is, whatever happens to the next one."""
    before = json.dumps(document)
    with contextlib.suppress(PathNotFoundError):
        replace(document, way, value)
    assert json.dumps(document) == before


def test_objects_are_created_on_the_way() -> None:
    """ResultPath makes the members that its path needs, also in place of null."""
    assert replace({"a": None}, ("a", "b", "c"), 1) == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize(("document", "way"), [(3, ("a",)), ({"a": "text"}, ("a", "b")), ([1], (5,)), ({}, (0,))])
def test_a_way_through_a_scalar_is_refused(document: object, way: tuple[str | int, ...]) -> None:
    """A result cannot be put inside a number, a text or beyond an array's end."""
    with pytest.raises(PathNotFoundError):
        replace(document, way, 1)
