"""What the terminal shows while something runs."""

from __future__ import annotations

import io
import re
import sys
from math import nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scones_ml.cli import invocation, terminal
from scones_ml.cli.fitting import columns_of, display_width, fitted, shortened, wrapped
from scones_ml.evaluation import Estimate
from scones_ml.wording import counted, either, listed

WORDS = st.lists(st.text("abc1,.", min_size=1, max_size=12), min_size=1, max_size=12)


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


def test_forced_colours_show_no_progress_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where colours are forced without a terminal, as notebooks and CI do, bars and clocks write nothing."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal.progress("bulk") as progress, terminal.steps() as step:
        progress(100, 1000)
        step("deploy")
    assert capsys.readouterr() == ("", "  deploy\n")


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


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """A terminal it is."""
        return True


def test_only_a_terminal_has_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS counts on a terminal alone: what goes through a pipe keeps its lines."""
    monkeypatch.setenv("COLUMNS", "72")
    assert columns_of(Terminal()) == 72
    assert columns_of(io.StringIO()) is None
    assert columns_of(None) is None
    monkeypatch.delenv("COLUMNS")
    assert columns_of(Terminal()) is None, "no descriptor to ask"


@given(words=WORDS, columns=st.integers(12, 40), hang=st.integers(0, 4))
def test_lines_break_between_words(words: list[str], columns: int, hang: int) -> None:
    """Wrapped lines have the same words in the same order, none is split, and none but a single word is too long."""
    lines = wrapped(" ".join(words), columns, hang=hang).split("\n")
    assert " ".join(lines).split() == words
    assert all(len(line) <= columns or len(line.split()) == 1 for line in lines)
    assert all(line.startswith(" " * hang) for line in lines[1:])


def test_commands_names_and_percentages_stay_whole() -> None:
    """What stands between backticks or quotes is not split, nor is a number from its percent sign."""
    assert wrapped("start one with `scones deploy MODEL`, then", 30) == "start one with\n`scones deploy MODEL`, then"
    assert wrapped("the folder 'my best photos' is empty", 20) == "the folder\n'my best photos' is\nempty"
    assert wrapped("  precision 95 % at all", 15, hang=2) == "  precision\n    95 % at all"
    assert wrapped("left   over  words", 13) == "left   over\nwords", "columns stay aligned"


@given(name=st.text("abcdé自転車", max_size=40), columns=st.integers(5, 30))
def test_names_are_shortened_in_the_middle(name: str, columns: int) -> None:
    """A name that is too long keeps its beginning and its end, and takes no more room than there is."""
    short = shortened(name, columns)
    assert display_width(short) <= max(columns, 0)
    head, dots, tail = short.partition("…")
    assert not dots or (name.startswith(head) and name.endswith(tail))
    assert short == name or display_width(name) > columns


@given(
    names=st.lists(st.text("abcdef/", min_size=1, max_size=60), min_size=1, max_size=4),
    number=st.integers(0, 10**9),
    words=WORDS,
    columns=st.integers(60, 120),
)
def test_tables_fit_and_keep_their_figures(names: list[str], number: int, words: list[str], columns: int) -> None:
    """A table is no wider than the terminal; its numbers and the words of its last column are all there."""
    rows = [("name", "number", "what it is"), *((name, f"{number:,}", " ".join(words)) for name in names)]
    shown = fitted(rows, columns, [False, True, False])
    widths = [max(map(len, cells)) for cells in zip(*shown, strict=True)]
    assert sum(widths) + 6 <= columns
    assert [row[1] for row in shown if row[1]] == ["number", *[f"{number:,}"] * len(names)]
    assert " ".join(row[2] for row in shown).split()[3:] == words * len(names)


def test_commands_are_printed_as_they_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``scones`` where the shell finds it, else its path from the current folder; blanks are quoted."""
    script = tmp_path / "my tools" / "bin" / "scones"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.chdir(script.parents[1])
    monkeypatch.setenv("PATH", "/nowhere")
    assert invocation.command("run", "my photo.jpg") == "bin/scones run 'my photo.jpg'"
    assert invocation.as_typed("try `scones run`, scones_ml or scones") == "try `bin/scones run`, scones_ml or scones"
    monkeypatch.chdir(tmp_path)
    assert invocation.program() == "'my tools/bin/scones'"
    monkeypatch.chdir(tmp_path / "work")
    assert invocation.program() == f"'{script}'", "not below the current folder"
    monkeypatch.setenv("PATH", str(script.parent))
    assert invocation.program() == "scones"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
    assert invocation.program() == "scones"


def test_counts_and_lists_are_in_words() -> None:
    """One has no plural, thousands have commas, and a list ends with its last word."""
    assert [counted(1, "image"), counted(2_000, "image"), counted(0, "class", "classes")] == [
        "1 image",
        "2,000 images",
        "0 classes",
    ]
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert either("abc") == "a, b or c"
