"""File names as keys."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.local.names import key_of, name_of

NAMES = st.one_of(
    st.binary().map(os.fsdecode),
    st.text(st.sampled_from(["\\", "x", "e", "9", "\udce9", "é"])),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(NAMES)
def test_any_name_has_a_key_that_leads_back(name: str) -> None:
    """Whatever the bytes of a name, its key is UTF-8, and names it again."""
    key_of(name).encode()
    assert name_of(key_of(name)) == name


@given(NAMES, NAMES)
def test_no_two_names_have_one_key(one: str, other: str) -> None:
    """Names are told apart by their keys, be they UTF-8 or not."""
    assert (key_of(one) == key_of(other)) == (one == other)


@pytest.mark.parametrize("name", ["a b/ü.png", "100%+1.png", "back\\slash", "写真.png", "\\x41.png"])
def test_names_that_are_utf8_keep_theirs(name: str) -> None:
    """Only what could be taken for a spelled byte is changed."""
    assert key_of(name) == name


def test_a_byte_is_spelled_as_it_is_shown() -> None:
    """Latin-1 and Shift-JIS names can be read, and typed."""
    assert key_of(os.fsdecode("café.png".encode("latin-1"))) == "caf\\xe9.png"
    assert key_of("caf\\xe9.png") == "caf\\\\xe9.png"
