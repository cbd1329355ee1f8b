"""Feed readers with damaged input, until something comes out that is no error of ours.

    make fuzz                                       # every target, 20 s each, one a processor
    make fuzz SECONDS=600 TARGET=images SEED=7
    python tests/fuzz/run.py images FILE            # one input again, with its traceback

Inputs are good ones, changed at random (``mutations.py``). One whose answer is new is kept and changed further. A
finding is any exception but SconesError, an error's text that is not one printable line, more than 10 s or 400 MB for
one input, or the end of the process. It is saved below ``build/fuzz`` and printed with the command that reads it again.

Why not a library: atheris (libFuzzer) has wheels for Linux on x86-64 alone and instruments Python, while most of what
an image meets is C; hypothesis, which the unit tests use, is for structured values and not for minutes on bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import multiprocessing
import os
import re
import resource
import signal
import struct
import sys
import time
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from targets import TARGETS, Target, target

_SECONDS, _MEGABYTES, _ADDRESS_SPACE = 10, 400, 3_000_000_000
_ROOM = 1 << 22  # bytes shared with the process that reads
_HEAD = struct.Struct("<dQQ")  # when it began to read, how many it has read, the input's length
_FOLDER = Path("build") / "fuzz"


@dataclass(frozen=True)
class Finding:
    """An input that something else than an answer came of.

    Attributes:
        reason: the exception, or what happened, and where in the package.
        data: the input.
    """

    reason: str
    data: bytes

    @property
    def key(self) -> str:
        """Equal for findings that are most likely one: their place, or what happened."""
        return self.reason.rpartition(" at ")[2] + self.reason.partition(":")[0]


def _place(error: BaseException) -> str:
    """The innermost line of the package that an exception passed, of its cause where ours was raised and refused."""
    if isinstance(error, AssertionError) and error.__context__ is not None:
        error = error.__context__
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "scones_ml" in Path(frame.filename).parts] or list(frames)
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


def answer(read: Target, data: bytes) -> str:
    """What a reader says of an input, without numbers, names and what it quotes.

    Raises:
        Exception: whatever is a finding.
    """
    return re.sub(r"\d+|/\S*/|'[^']*'|\"[^\"]*\"", "#", read.read(data))[:200]


class _Shared:
    """The input that is being read, where the parent sees it when the process is gone."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _ROOM)

    def begin(self, number: int, data: bytes) -> None:
        self._memory[_HEAD.size : _HEAD.size + len(data)] = data
        self._memory[: _HEAD.size] = _HEAD.pack(time.monotonic(), number, len(data))

    def now(self) -> tuple[float, int, bytes]:
        began, number, length = _HEAD.unpack(self._memory[: _HEAD.size])
        return began, number, self._memory[_HEAD.size : _HEAD.size + length]


def fuzz(name: str, seconds: float, seed: int) -> tuple[int, list[Finding]]:
    """How many inputs were read, and what was found; each reason once."""
    read, shared, found = target(name), _Shared(), dict[str, Finding]()
    until, done, attempt = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until and attempt < 200:
        shared.begin(0, b"")
        reason, data, number = _until_it_ends(read, shared, until, f"{name}/{seed}/{attempt}")
        done, attempt = done + number, attempt + 1
        if reason:
            finding = Finding(reason, data)
            found.setdefault(finding.key, finding)
    return done, list(found.values())


def _until_it_ends(read: Target, shared: _Shared, until: float, seed: str) -> tuple[str, bytes, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _work(read, shared, until, seed, writer)
    os.close(writer)
    ended = 0
    while ended == 0:
        ended, status = os.waitpid(child, os.WNOHANG)
        began, number, data = shared.now()
        if ended == 0 and time.monotonic() - began > _SECONDS and data:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reader)
            return f"more than {_SECONDS} s for one input", data, number
        time.sleep(0.02 if ended == 0 else 0)
    with os.fdopen(reader, "rb") as pipe:
        reason = pipe.read().decode("utf-8", "backslashreplace")
    if os.waitstatus_to_exitcode(status) > 0:
        reason = reason or "the process ended by itself"
    if os.WIFSIGNALED(status):
        reason = f"the process was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return reason, data, number


def _work(read: Target, shared: _Shared, until: float, seed: str, writer: int) -> None:
    """Read inputs until the time is over or something is found; never returns."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C complain there
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    random, known, corpus = Random(seed), set[str](), list(read.seeds)
    before, reason, number = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "", 0
    while not reason and time.monotonic() < until:
        number += 1
        data = read.change(random.choice(corpus), corpus, random)[: _ROOM - _HEAD.size]
        shared.begin(number, data)
        try:
            said = answer(read, data)
        except BaseException as exc:
            reason = f"{type(exc).__name__}: {str(exc)[:300]} at {_place(exc)}"
        else:
            if said not in known and len(known) < 500 and not data.startswith(b"\x1f\x8b"):
                known.add(said)
                corpus.append(data)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if not reason and after - before > _MEGABYTES * 1000:
            reason = f"more than {_MEGABYTES} MB for one input"
        before = max(before, after)
    os.write(writer, reason.encode("utf-8", "backslashreplace")[:60_000])
    os._exit(0)


def report(name: str, finding: Finding) -> None:
    """Save the input and print how to read it again."""
    path = _FOLDER / f"{name}-{hashlib.sha256(finding.data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(finding.data)
    print(f"  {finding.reason!r}\n    again: python tests/fuzz/run.py {name} {path}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default="all", choices=["all", *TARGETS])
    parser.add_argument("file", nargs="?", type=Path, help="an input to be read once")
    parser.add_argument("--seconds", type=float, default=20, help="for each target")
    parser.add_argument("--seed", type=int, default=None, help="random seed (default: a new one)")
    options = parser.parse_args()
    if options.file:
        print(target(options.target).read(options.file.read_bytes()))
        return 0
    seed = options.seed if options.seed is not None else int(time.time())
    names = list(TARGETS) if options.target == "all" else [options.target]
    found = 0
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        each = pool.imap(partial(fuzz, seconds=options.seconds, seed=seed), names)
        for name, (inputs, findings) in zip(names, each, strict=True):
            print(f"{name:10} {inputs:9,} inputs, {len(findings)} findings (seed {seed})", flush=True)
            for finding in findings:
                report(name, finding)
            found += len(findings) + (inputs == 0)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
