"""JSON from outside: read, or refused for one plain reason."""

from __future__ import annotations

import io
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml import strict_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), children),
)


@given(JSON, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_documents_come_back(value: object, ascii_only: bool, encoding: str) -> None:
    """Whatever JSON can say is read, escaped or not, as text or as bytes, with a byte order mark or without."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert strict_json.parse(text) == value
    assert strict_json.parse("\ufeff" + text) == value
    assert strict_json.parse(text.encode(encoding)) == value


@given(st.binary(max_size=60) | st.text(st.characters(categories=["Cs", "Ps", "Pe", "Nd", "Po"]), max_size=60))
def test_anything_else_is_a_value_error(document: bytes | str) -> None:
    """Bytes and texts of any kind are read, or end in a ValueError of one line."""
    for read in (strict_json.parse, strict_json.parse_names):
        try:
            read(document)
        except ValueError as exc:
            assert str(exc)
            assert str(exc).isprintable()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("[" * 100_000, "is nested deeper than 100 levels"),
        ("[" * 200, "is nested deeper than 100 levels"),
        ('{"a":' * 101 + "1" + "}" * 101, "is nested deeper than 100 levels"),
        ("[" * 101 + "]" * 101, "is nested deeper than 100 levels"),
        ('{"a": 1, "b": 2, "a": 3}', "names the field 'a' twice"),
        ('{"\\u0007\\ud800": 1, "\\u0007\\ud800": 2}', r"names the field '\x07\ud800' twice"),
        ("NaN", "holds NaN, which is not a JSON number"),
        ("[-Infinity]", "holds -Infinity, which is not a JSON number"),
        ("1e999", "holds the number 1e999, out of the range of a double"),
        ("9" * 5_000, "holds the number 999999999999, out of the range of a double"),
        ("-" + "9" * 309, "holds the number -99999999999, out of the range of a double"),
        ('"\\ud800"', r"holds half a character (\ud800)"),
        ('"\udcff"', r"holds half a character (\udcff)"),
        (b'"\xff"', "is not text in UTF-8: byte 0xff at 1"),
        (b"", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_the_reason_is_plain(document: str | bytes, reason: str) -> None:
    """What Python's reader lets through, or answers with another error, is refused with a reason in one line."""
    with pytest.raises(ValueError, match=rf"^{re.escape(reason)}$"):
        strict_json.parse(document)


def test_what_is_deep_but_allowed_is_read() -> None:
    """A hundred levels pass, and so do many brackets side by side or in a text."""
    assert strict_json.parse("[" * 100 + "]" * 100)
    assert strict_json.parse("[" + "[]," * 1_000 + '"' + "[" * 1_000 + '"]')


def test_a_text_that_is_cut_off_costs_no_more_than_its_length() -> None:
    """A megabyte that ends within a text of escaped quotes is refused at once, not after a search from each of them."""
    began = time.process_time()
    with pytest.raises(ValueError, match="is not JSON: Invalid control character"):
        strict_json.parse('["' + '\\"' * 500_000 + '\n"]')
    assert time.process_time() - began < 2


def test_names_of_any_bytes_are_read_where_they_may_stand() -> None:
    """Python's spelling of a file name's undecodable bytes passes where names are read, and nowhere else."""
    assert strict_json.parse_names('"caf\\udce9"') == b"caf\xe9".decode(errors="surrogateescape")
    assert strict_json.parse('"\\ud83d\\ude00"') == "\U0001f600"  # two halves are one character
    with pytest.raises(ValueError, match="half a character"):
        strict_json.parse('"caf\\udce9"')


def test_lines_end_at_the_line_feed_alone() -> None:
    """U+2028, U+0085, a vertical tab and a carriage return split no line; blank ones and byte order marks go."""
    data = '\ufeff{"a":"x\u2028y\u0085z"}\r\n\r\n \t\n\ufeff\n[1,\x0b\r2]\n"end"'.encode()
    assert list(strict_json.lines(io.BytesIO(data))) == [
        (1, '{"a":"x\u2028y\u0085z"}'.encode()),
        (5, b"[1,\x0b\r2]"),
        (6, b'"end"'),
    ]
