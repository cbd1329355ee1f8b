"""How little the command line loads before it says something, and that its help loses nothing by it."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from scones_ml.cli import main
from scones_ml.cli.app import VERBS

HEAVY = ["PIL", "boto3", "botocore", "jinja2", "numpy", "onnxruntime", "rich", "scones_ml.asl", "starlette", "torch"]
# These need the standard library alone.
LIGHT = {"bounded", "cli", "cost", "displays", "errors", "limits", "ports", "printable", "settings", "strict_json"}
LIGHT |= {"wording"}
LOADED = """
import os, sys
before = set(sys.modules)
sys.path[0] = os.getcwd()
os.chdir({folder!r})
from scones_ml.cli import main
for arguments in {commands!r}:
    main(arguments)
print("loaded:", *sorted(set(sys.modules) - before))
"""


def loaded(commands: list[list[str]], folder: Path) -> set[str]:
    """The modules that an interpreter has loaded when it has run some commands one after the other."""
    code = LOADED.format(commands=commands, folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded: ")[2].split())


def test_help_loads_no_verb(tmp_path: Path) -> None:
    """``scones --help``, ``--version`` and a typing error load the table of verbs, typer and nothing else of ours."""
    found = loaded([["--help"], ["--version"], ["stauts"]], tmp_path)
    own = {name for name in found if name.startswith("scones_ml.")}
    parts = [f"cli.{part}" for part in ("app", "fitting", "help", "invocation", "usage")]
    assert own == {f"scones_ml.{name}" for name in ("cli", *parts, "errors", "printable", "wording")}
    assert not found & {"pydantic", *HEAVY}


def test_the_help_of_a_verb_loads_only_what_reads_its_options(tmp_path: Path) -> None:
    """The help of every verb, and of those of ``scones asl``, is had without a library, and without what verbs do."""
    commands = [[verb, "--help"] for verb in VERBS]
    commands += [["asl", verb, "--help"] for verb in ("run", "redrive", "validate", "graph")]
    found = loaded(commands, tmp_path)
    assert {name.split(".")[1] for name in found if name.startswith("scones_ml.")} <= LIGHT
    assert not found & {"pydantic", *HEAVY}


def test_verbs_answer_before_they_load_what_they_may_never_need(tmp_path: Path) -> None:
    """Nothing to show, and what is not there, is told without numpy, rich, AWS's client or the interpreter."""
    missing = [["train", "no"], ["deploy", "no"], ["evaluate", "no", "no"], ["threshold", "no", "no"], ["monitor"]]
    commands = [["status"], ["cleanup"], ["run", "no.png"], ["review"], ["label-next", "3"], *missing]
    assert not loaded(commands, tmp_path) & set(HEAVY)


@pytest.mark.parametrize("name", VERBS)
def test_the_table_says_what_the_verb_says(name: str) -> None:
    """The line of ``scones --help`` is the first sentence of the verb's own help."""
    module, attribute = VERBS[name].target.split(":")
    target = getattr(importlib.import_module(f"scones_ml.cli.{module}"), attribute)
    text = target.info.help if isinstance(target, typer.Typer) else inspect.getdoc(target)
    assert VERBS[name].help == " ".join(text.partition("\n\n")[0].split())


def test_help_lists_every_verb_in_full(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each verb stands with its whole sentence, wrapped and not cut, in columns; so do those of ``scones asl``."""
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    words = " ".join(text.split())
    assert all(f"{name} {verb.help}" in words for name, verb in VERBS.items())
    assert max(map(len, text.splitlines())) <= 100
    assert main(["asl", "--help"]) == 0
    assert "coloured by an execution's states." in " ".join(capsys.readouterr().out.split())


def test_options_that_belong_together_have_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    """What holds on AWS alone is listed apart from the options of every endpoint."""
    assert main(["deploy", "--help"]) == 0
    text = capsys.readouterr().out
    everywhere, _, on_aws = text.partition("With --on aws:\n")
    assert "--capture-percentage" in everywhere
    assert "--serverless" in on_aws
    assert "--serverless" not in everywhere


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rn"], "no command 'rn': did you mean `scones run`?"),
        (["asl", "vlidate"], "no command 'vlidate': did you mean `scones asl validate`?"),
        (["nothing-like-it"], "no command 'nothing-like-it': see `scones --help`"),
        (["deploy", "m", "--prot", "3"], "`scones deploy` has no option --prot: did you mean --port?"),
        (["--nothing"], "`scones` has no option --nothing: see `scones --help`"),
        (["stage"], "`scones stage` needs SOURCE and DESTINATION: see `scones stage --help`"),
        (["run", "--model"], "--model needs a value: see `scones run --help`"),
        (["run", "--json=3", "a.png"], "--json takes no value: see `scones run --help`"),
        (["evaluate", "my", "model", "data"], "`scones evaluate` does not take 'data' as well: quote"),
        (["train", "d", "--seed", "abc"], "--seed 'abc' is not a whole number: see `scones train --help`"),
        (["train", "d", "--recipe", "heads"], "--recipe 'heads': did you mean head?"),
        (["run", "a.png", "--on", "mars"], "--on 'mars': give local or aws"),
        (["deploy", "m", "--port", "99999"], "--port is 99999: give at most 65535"),
        (["train", "d", "--target-precision", "95"], "--target-precision is 95: did you mean 0.95?"),
    ],
)
def test_a_typing_error_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    """What cannot be understood ends with 2 and one line: what is wrong, and what was meant or where help is."""
    assert main(arguments) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"scones: {line}")
