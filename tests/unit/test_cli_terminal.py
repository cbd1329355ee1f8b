"""What the terminal shows while something runs."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from scones_ml.cli import terminal


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to a terminal."""
    written = io.StringIO()
    monkeypatch.setattr(terminal, "_err", Console(file=written, force_terminal=True, width=100, color_system=None))
    return written


def test_a_bar_tells_how_many_images_a_second(screen: io.StringIO) -> None:
    """Where a unit is counted, the bar shows how much is done, how fast, and the time that is left."""
    with terminal.progress("bulk", "images") as progress:
        progress(100, 1000)
        progress(400, 1000)
    assert re.search(r"bulk .* 400/1000 [\d,]+ images/s [\d:]+", screen.getvalue())


def test_what_was_finished_before_is_no_speed(screen: io.StringIO) -> None:
    """Work that an earlier run had finished moves the bar, but makes no one believe that this run is fast."""
    with terminal.progress("bulk", "images") as progress:
        progress(500, 1000)
    assert "500/1000" in screen.getvalue()
    assert "images/s" not in screen.getvalue()
