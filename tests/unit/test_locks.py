"""Locks on files: who holds one is what the kernel says."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.errors import ConfigurationError, DeploymentError, TrainingError, WorkflowError
from scones_ml.local.in_use import (
    buckets_in_use,
    changing_endpoint,
    endpoint_in_use,
    forget_killed_run,
    removing_objects,
    run_in_progress,
    training,
    training_in_progress,
)
from scones_ml.locks import Holder, hold, holder_of, holds, locked, signal_holder, signal_proven

HOLDS = """
from pathlib import Path
from scones_ml.locks import hold
path = Path({!r})
path.parent.mkdir(exist_ok=True)
path.touch()
hold(path, RuntimeError)
print(flush=True)
input()
"""


class BusyError(Exception):
    """Somebody else has it."""


@contextlib.contextmanager
def holding(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds a file until it is told, or made, to end."""
    command = [sys.executable, "-c", HOLDS.format(str(path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process
        if process.poll() is None:
            process.kill()


def is_free(path: Path) -> bool:
    """Whether another process can lock a file at once."""
    command = [sys.executable, "-c", HOLDS.format(str(path)).replace("RuntimeError", "RuntimeError, 0")]
    return subprocess.run(command, input=b"\n", capture_output=True, check=False).returncode == 0


def take(path: Path, shared: bool = False) -> contextlib.AbstractContextManager[None]:
    return locked(path, lambda holder: BusyError(str(holder)), shared=shared, patience=0)


def test_the_kernel_names_the_holder(tmp_path: Path) -> None:
    """Who holds a file is told by number; a killed one holds nothing, and its file is taken over."""
    path = tmp_path / "new" / "lock"
    assert holder_of(path) is None
    with holding(path) as process:
        assert holder_of(path) == Holder(process.pid, shared=False)
        with pytest.raises(BusyError, match=f"^process {process.pid}$"), take(path):
            pass
        process.kill()
        process.wait()
        assert holder_of(path) is None
        with take(path):
            assert holder_of(path) == Holder(os.getpid(), shared=False)
    assert not path.exists()


def test_a_copy_is_nobodys(tmp_path: Path) -> None:
    """A copy, a symlink and a hard link of a file that is held have no holder, and links are not locked."""
    path = tmp_path / "lock"
    with holding(path) as process:
        shutil.copy(path, tmp_path / "copy")
        (tmp_path / "symlink").symlink_to(path)
        assert holder_of(path) == Holder(process.pid, shared=False)
        assert [holder_of(tmp_path / name) for name in ("copy", "symlink")] == [None, None]
        os.link(path, tmp_path / "link")
        assert holder_of(tmp_path / "link") is None
        assert not signal_holder(tmp_path / "link", signal.SIGKILL)
        for name in ("symlink", "link"):
            with (
                pytest.raises(ConfigurationError, match=f"{name} cannot be locked: .*; move it away"),
                take(tmp_path / name),
            ):
                pass
        assert process.poll() is None


def test_what_is_removed_is_no_longer_held(tmp_path: Path) -> None:
    """A process that holds a file sees that it was removed, or replaced by another one of its name."""
    path = tmp_path / "lock"
    with pytest.raises(ConfigurationError, match="lock cannot be locked: No such file"):
        hold(path, lambda _: BusyError())
    path.touch()
    hold(path, lambda _: BusyError())
    assert holds(path)
    path.unlink()
    assert not holds(path)
    path.touch()
    assert not holds(path)


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    """A second thread of one process waits like another process, and asking does not lose the lock."""
    path = tmp_path / "lock"
    order: list[str] = []

    def second() -> None:
        with locked(path, lambda _: BusyError()):
            order.append("second")

    with take(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert holder_of(path) == Holder(os.getpid(), shared=False)
        assert not is_free(path)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@given(steps=st.lists(st.tuples(st.sampled_from(["shared", "alone", "leave"]), st.integers(0, 5)), max_size=12))
def test_shared_or_alone(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    """A file is shared by many or held by one, never both; the last to leave removes it."""
    path = tmp_path_factory.mktemp("locks") / "lock"
    held: list[tuple[str, contextlib.ExitStack]] = []
    for step, which in steps:
        if step == "leave":
            if held:
                held.pop(which % len(held))[1].close()
        else:
            fits = not held or (step == "shared" and held[0][0] == "shared")
            stack = contextlib.ExitStack()
            with contextlib.nullcontext() if fits else pytest.raises(BusyError):
                stack.enter_context(take(path, shared=step == "shared"))
                held.append((step, stack))
        assert path.exists() == bool(held)
        assert holder_of(path) == (Holder(os.getpid(), held[0][0] == "shared") if held else None)
    for _, stack in held:
        stack.close()
    assert not path.exists()


def test_no_child_inherits_a_lock(tmp_path: Path) -> None:
    """A child started under a lock does not hold it on, and a fork's end neither releases nor removes it."""
    path = tmp_path / "lock"
    with subprocess.Popen(["sleep", "60"]) as child:
        with take(path):
            fork = os.fork()
            if not fork:
                os._exit(holder_of(path) != Holder(os.getppid(), shared=False))
            assert os.waitpid(fork, 0)[1] == 0
            assert not is_free(path)
        assert is_free(path)
        child.kill()


def test_a_signal_needs_its_proof() -> None:
    """A process that does not prove itself gets no signal; one that is gone is no error."""
    with subprocess.Popen(["sleep", "60"]) as process:
        signal_proven(process.pid, signal.SIGKILL, lambda: False)
        assert process.poll() is None
        signal_proven(process.pid, signal.SIGKILL, lambda: True)
        assert process.wait() == -signal.SIGKILL
    signal_proven(process.pid, signal.SIGKILL, lambda: True)


def test_the_loser_is_told_by_whom(tmp_path: Path) -> None:
    """Deployments, runs and trainings that are in the way are named with their process."""
    in_use = rf"endpoint bikes is in use by a run, process {os.getpid()}: try again when it has ended"
    with endpoint_in_use(tmp_path / "endpoints", "bikes"), pytest.raises(DeploymentError, match=in_use):
        changing_endpoint(tmp_path / "endpoints", "bikes", patience=0).__enter__()
    assert not (tmp_path / "endpoints").exists()
    with buckets_in_use(tmp_path):
        assert run_in_progress(tmp_path) == Holder(os.getpid(), shared=True)
        with pytest.raises(WorkflowError, match=rf"run is in progress in {tmp_path}, process {os.getpid()}: try again"):
            removing_objects(tmp_path, patience=0).__enter__()
    assert run_in_progress(tmp_path) is None
    with training(tmp_path / "model"):
        assert training_in_progress(tmp_path / "model") == Holder(os.getpid(), shared=False)
        with pytest.raises(TrainingError, match=rf"model is being trained by process {os.getpid()}: try again when"):
            training(tmp_path / "model").__enter__()
    assert training_in_progress(tmp_path / "model") is None


def test_a_killed_run_is_forgotten(tmp_path: Path) -> None:
    """The file of a run that goes on stays; that of a killed one goes."""
    path = tmp_path / "buckets.lock"
    with buckets_in_use(tmp_path):
        forget_killed_run(tmp_path)
        assert path.exists()
    path.touch()
    forget_killed_run(tmp_path)
    assert not path.exists()
