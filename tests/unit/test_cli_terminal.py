"""What the terminal shows while something runs."""

from __future__ import annotations

import io
import re
from math import nan

import pytest
from rich.console import Console

from scones_ml.cli import terminal
from scones_ml.evaluation import Estimate


@pytest.fixture
def written() -> io.StringIO:
    """What is written to a terminal."""
    return io.StringIO()


@pytest.fixture
def screen(written: io.StringIO) -> Console:
    """A terminal."""
    return Console(file=written, force_terminal=True, width=100, color_system=None)


def test_a_bar_tells_how_many_images_a_second(screen: Console, written: io.StringIO) -> None:
    """Where a unit is counted, the bar shows how much is done, how fast, and the time that is left."""
    with terminal.progress("bulk", "images", screen) as progress:
        progress(100, 1000)
        progress(400, 1000)
    assert re.search(r"bulk .* 400/1000 [\d,]+ images/s [\d:]+", written.getvalue())


def test_what_was_finished_before_is_no_speed(screen: Console, written: io.StringIO) -> None:
    """Work that an earlier run had finished moves the bar, but makes no one believe that this run is fast."""
    with terminal.progress("bulk", "images", screen) as progress:
        progress(500, 1000)
    assert "500/1000" in written.getvalue()
    assert "images/s" not in written.getvalue()


def test_styles_are_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A styled line is plain text in a pipe, whatever it holds; it has its style where colours are asked for."""
    terminal.Lines(stderr=False).print(("[ok]", "bold"), " :smile: [1]")
    assert capsys.readouterr().out == "[ok] :smile: [1]\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal.Lines(stderr=False).print(("[ok]", "bold"), " :smile: [1]")
    assert capsys.readouterr().out == "\x1b[1m[ok]\x1b[0m :smile: [1]\n"


def test_columns_are_as_wide_as_they_look(capsys: pytest.CaptureFixture[str]) -> None:
    """A table stays aligned where a name has ideographs, each as wide as two letters."""
    terminal.print_table(("class", "images"), [("自転車", "12"), ("truck", "3")], right=("images",))
    assert capsys.readouterr().out == "class    images\n自転車       12\ntruck         3\n"


def test_lines_beside_the_result_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Figures on standard error are in columns, and one that is undefined is a dash."""
    rows = [
        ("accuracy", *terminal.figure(Estimate(0.875, 0.8, 0.93))),
        ("right", *terminal.figure(Estimate(nan, 0, 1))),
    ]
    terminal.say_table(rows, right=[1])
    said = capsys.readouterr()
    assert said.err == "accuracy   87.5%   80.0% to 93.0%\nright          –\n"
    assert said.out == ""


def test_a_closed_stream_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where standard output is closed, what would be printed there is dropped, and the command goes on."""
    monkeypatch.setattr("sys.stdout", None)
    terminal.out.print("nobody reads this")
    terminal.print_table(("a",), [("b",)])
    terminal.say("this goes on")
    assert capsys.readouterr() == ("", "this goes on\n")
