"""Plans and the ledger: what is about to happen, and the record of what may exist."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from scones_ml.errors import ConfigurationError
from scones_ml.plans import Change, Ledger, Plan, Run, execute, journal, recorded

MODEL = Change("create", "model", "scones-1", "names the container", "sagemaker:CreateModel")
ENDPOINT = Change("create", "endpoint", "scones", "answers requests", "sagemaker:CreateEndpoint", 0.23)
PLAN = Plan("deploy", "aws:us-east-1", (MODEL, ENDPOINT))


def test_a_plan_knows_what_it_costs() -> None:
    """The price of a plan is that of all it creates, and unknown when one price is."""
    assert PLAN.dollars_per_hour == 0.23
    assert Plan("deploy", "aws:mars-1", (Change("create", "endpoint", "a", "", "", None),)).dollars_per_hour is None


def test_what_was_made_is_on_record_newest_first(tmp_path: Path) -> None:
    """After a plan the ledger holds every resource it made, newest first, with its price, run and end."""
    ledger, run = Ledger(tmp_path / "w" / "ledger.jsonl"), Run.new(ttl=timedelta(hours=2))
    execute(PLAN, lambda change: None, ledger, run)
    newest, oldest = ledger.resources()
    assert (newest.kind, newest.name, newest.state, newest.run) == ("endpoint", "scones", "created", run.id)
    assert newest.dollars_per_hour == 0.23
    assert newest.expires == run.expires
    assert oldest.kind == "model"


def test_a_change_that_fails_stays_on_record(tmp_path: Path) -> None:
    """A resource whose call failed may exist all the same, and stays on record; the rest is not tried."""
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def refuse(change: Change) -> None:
        raise RuntimeError(change.name)

    with pytest.raises(RuntimeError, match="scones-1"):
        execute(PLAN, refuse, ledger, Run.new())
    assert [(found.name, found.state) for found in ledger.resources()] == [("scones-1", "creating")]


def test_what_is_deleted_leaves_the_record(tmp_path: Path) -> None:
    """A resource that was made and deleted is no longer listed; its lines remain."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    execute(PLAN, lambda change: None, ledger, Run.new())
    undo = Plan("cleanup", "aws:us-east-1", (Change("delete", "endpoint", "scones", "asked for"),))
    execute(undo, lambda change: None, ledger, Run.new())
    assert [found.name for found in ledger.resources()] == ["scones-1"]
    assert len(list(ledger.entries())) == 6


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_keeps_no_removal_from_making_room(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be recorded beforehand for want of space is removed all the same; nothing is made that way."""
    ledger, run = Ledger(tmp_path / "ledger.jsonl"), Run.new()

    def full(path: Path, document: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    for action in ("create", "delete"):
        monkeypatch.setattr(journal, "append", full)
        with contextlib.suppress(OSError), recorded(Change(action, "endpoint", "bikes", ""), "local", ledger, run):
            monkeypatch.undo()
            (tmp_path / action).touch()
    assert [path.name for path in tmp_path.iterdir() if not path.suffix] == ["delete"]
    assert [entry.state for entry in ledger.entries()] == ["deleted"]


def test_half_a_line_costs_nothing_but_itself(tmp_path: Path) -> None:
    """A writer that died in the middle of a line harms neither earlier nor later lines."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    execute(Plan("deploy", "aws:us-east-1", (MODEL,)), lambda change: None, ledger, Run.new())
    with ledger.path.open("ab") as file:
        file.write(b'{"time": "2026-11-2')
    execute(Plan("deploy", "aws:us-east-1", (ENDPOINT,)), lambda change: None, ledger, Run.new())
    assert [found.name for found in ledger.resources()] == ["scones", "scones-1"]


@pytest.mark.parametrize(
    "damage",
    [
        *({"kind": {}}, {"name": None}, {"run": 5}, {"dollars_per_hour": "x"}, {"time": "2026-11-28T08:00:00"}),
        *({"time": 5}, {"kind": "spaceship"}, {"state": "gone"}, {"place": "mars"}, {"place": "aws:"}),
        *({"dollars_per_hour": rate} for rate in (-1, 1e308, 10**400)),
        *({"name": "../scones-1"}, {"name": "a" * 64}, {"name": ""}, {"place": "local", "name": "relative/folder"}),
    ],
)
def test_a_damaged_line_says_nothing(tmp_path: Path, damage: dict[str, object]) -> None:
    """A line whose fields are none of ours is counted as unreadable, and keeps no other from being read."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    execute(Plan("deploy", "aws:us-east-1", (MODEL,)), lambda change: None, ledger, Run.new())
    line = json.loads(ledger.path.read_text().splitlines()[0])
    with ledger.path.open("a") as file:
        file.write(json.dumps(line | damage) + "\n")
    assert ledger.unreadable() == 1
    assert len(ledger.resources()) == 1


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"kind": 1e999}', b'{"name": "\\ud800"}', b"\xff", b"NaN"])
def test_a_hostile_line_is_passed_over(tmp_path: Path, line: bytes) -> None:
    """A line that only a lenient reader takes is counted as unreadable; a text may hold U+2028."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    change = replace(MODEL, kind="data set", name="/a\u2028b")
    execute(Plan("deploy", "local", (change,)), lambda change: None, ledger, Run.new())
    with ledger.path.open("ab") as file:
        file.write(line + b"\n")
    assert ledger.unreadable() == 1
    assert [found.name for found in ledger.resources()] == ["/a\u2028b"]


def test_a_ledger_that_never_ends_is_refused(tmp_path: Path) -> None:
    """A ledger that is a device, as a copied folder may hold one, is one line instead of an endless read."""
    (tmp_path / "ledger.jsonl").symlink_to("/dev/zero")
    with pytest.raises(ConfigurationError, match=r"ledger\.jsonl cannot be read: it is a link"):
        Ledger(tmp_path / "ledger.jsonl").resources()


def _write_many(path: Path, writer: int) -> None:
    ledger = Ledger(path)
    for number in range(20):
        change = Change("create", "model", f"{writer}-{number}", "x" * 5_000)
        execute(Plan("deploy", "aws:us-east-1", (change,)), lambda _: None, ledger, Run.new())


def test_two_processes_write_whole_lines(tmp_path: Path) -> None:
    """Processes that write at the same time lose no line and mix none."""
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(Ledger(path).resources()) == 60
    assert len(path.read_bytes().splitlines()) == 120
