"""Text from outside, made fit for one line."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.errors import DatasetError
from scones_ml.printable import printable


@given(st.text(st.characters(categories=None)))
def test_it_can_be_printed_on_one_line(text: str) -> None:
    """Whatever the text, it can be encoded, is one line, holds no control, and is the same when escaped again."""
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert shown.replace("\u200c", "").replace("\u200d", "").isprintable()
    assert printable(shown) == shown


@given(st.binary(), st.binary())
def test_another_name_stays_another(first: bytes, second: bytes) -> None:
    """Two names without backslashes are shown alike only where they are the same, be they UTF-8 or not."""
    one, two = (os.fsdecode(name.replace(b"\\", b"")) for name in (first, second))
    assert (printable(one) == printable(two)) == (one == two)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 写 \N{BICYCLE}", "plain é 写 \N{BICYCLE}"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31m\x7f", "\\x1b[31m\\x7f"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
        (os.fsdecode(b"\x85") + "\x85", "\\x85\\u0085"),
        ("\u202egpj.exe\u2028\ud800", "\\u202egpj.exe\\u2028\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    """Controls, marks that turn text around and undecodable bytes are escaped, letters of any script stay."""
    assert printable(text) == shown


def test_errors_are_one_line() -> None:
    """An error's message is one line, whatever the names in it hold."""
    assert str(DatasetError("no file 'a\nb\x1b[2J'")) == "no file 'a\\nb\\x1b[2J'"
