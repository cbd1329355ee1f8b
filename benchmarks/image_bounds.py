"""Maximum cost of reading an image, for all kinds of files.

Claims, for every kind of :func:`scones_ml.testing.image_kinds`, as it is staged (`reduce`), classified (`pixels`),
previewed (`preview`) and classified by a model of version 0.1 (`first`):

1. at most 200 MB of memory and 2 s of processor time beyond the interpreter, whether the file is read or rejected;
2. read are: 12 megapixels in every format; baseline and 4:2:0 progressive JPEG of 50, PNG, WebP and TIFF of 24;
   everything else that cameras and programs write;
3. images that are read show the right colours, broken ones are rejected, and the only exception is ImageError;
4. re-encoded images contain only pixels.

Conditions: each file is read in a separate process, forked from one that has imported Python, numpy and Pillow and
read nothing. Memory is the peak of the resident set (VmHWM) above that process's own, the file's bytes included;
processor time is that of the forked process, all threads. A process is stopped at 4 GB or 60 s.
Run it: ``python benchmarks/image_bounds.py [--kinds 'png/*'] [--sample] [--json FILE]``; exit code 1 if a claim
does not hold. ``--sample`` uses one small kind in forty, and those that exceeded a bound before.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from functools import partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from scones_ml.testing import ImageKind, image_kinds

_MEGABYTES, _SECONDS = 200.0, 2.0
_STOP_BYTES, _STOP_SECONDS = 4_000_000_000, 60
_ENTRIES = ("reduce", "pixels", "preview", "first")
_SAMPLE = 40
_SAMPLED = (
    *(
        "png/1x50000000",
        "png/50mp-rgba-8",
        "png/million-*",
        "jpeg/scans-1500-of-4000x3000",
        "png/*-bomb",
        "other/bomb*",
    ),
    *(
        "png/palette-missing",
        "png/rgb-stream-of-100-permille",
        "tiff/uint16-white-is-zero-*",
        "webp/49mp-rgba-lossless",
    ),
)


@dataclass(frozen=True)
class Cost:
    """The cost and outcome of one file in one reader.

    Attributes:
        name: of the kind.
        entry: the function that read it.
        outcome: ``"read"``, ``"refused"``, or ``"failed"`` where something else than ImageError came out.
        said: the error message, or how the process ended if it did not respond.
        megabytes: beyond the interpreter.
        seconds: of processor time.
        wrong: what does not hold, in words.
    """

    name: str
    entry: str
    outcome: str
    said: str
    megabytes: float
    seconds: float
    wrong: list[str] = field(default_factory=list)


class Forker:
    """A process that reads each file in a fork."""

    def __enter__(self) -> Forker:
        command = [sys.executable, __file__, "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def read(self, path: Path, entry: str) -> dict[str, object]:
        """Outcome, line, memory, time and the quarter points' colours."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([entry, str(path)]) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))


def serve() -> None:
    """The process that is forked: it imports the libraries and reads no image."""
    import numpy  # noqa: F401 # what the interpreter is measured with
    import PIL.Image  # noqa: F401

    from scones_ml import images  # noqa: F401

    for line in sys.stdin:
        entry, path = json.loads(line)
        before = _status("VmRSS")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _read_and_exit(entry, path, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer = json.loads(pipe.read() or b"{}")
        _, ended, usage = os.wait4(child, 0)
        peak = max(answer.pop("peak", 0), usage.ru_maxrss * 1024 if not answer else 0)
        answer.setdefault("outcome", "failed")
        answer.setdefault("said", f"ended by signal {os.WTERMSIG(ended)}")
        costs = {"megabytes": max(0, peak - before) / 1e6, "seconds": answer.pop("seconds", 0.0)}
        costs["seconds"] = costs["seconds"] or usage.ru_utime + usage.ru_stime
        print(json.dumps(answer | costs), flush=True)


def _read_and_exit(entry: str, path: str, writer: int) -> None:
    from scones_ml import images
    from scones_ml.errors import ImageError

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _STOP_BYTES, size + _STOP_BYTES))
    signal.alarm(_STOP_SECONDS)
    answer: dict[str, object] = {"outcome": "read", "said": ""}
    result: object = None
    try:
        data = Path(path).read_bytes()
        result = _enter(entry, data)
    except ImageError as exc:
        answer |= {"outcome": "refused", "said": str(exc)}
    except BaseException as exc:
        answer |= {"outcome": "failed", "said": f"{type(exc).__name__}: {exc}"}
    usage = resource.getrusage(resource.RUSAGE_SELF)
    answer |= {"peak": _status("VmHWM"), "seconds": usage.ru_utime + usage.ru_stime}
    try:
        if isinstance(result, images.ReducedImage):
            answer |= {"corners": _quarters(result.png), "parts": _parts(result.png)}
        elif isinstance(result, images.NormalisedImage):
            answer["parts"] = _parts(result.png)
        elif isinstance(result, images.Preview):
            answer["parts"] = _parts(result.data)
    except Exception as exc:
        answer |= {"outcome": "failed", "said": f"the result cannot be read: {exc}"}
    os.write(writer, json.dumps(answer).encode())
    os._exit(0)


def _enter(entry: str, data: bytes) -> object:
    from scones_ml import images

    match entry:
        case "reduce":
            return images.reduce(data, 224)
        case "pixels":
            return images.pixels(data, 224)
        case "preview":
            return images.preview(data, images.ImagePolicy(image_size=1000))
        case _:
            return images.normalise(data, images.ImagePolicy(version=1))


def _status(name: str) -> int:
    """A value of this process's status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(name + ":")[2].split()[0]) * 1024


def _quarters(png: bytes) -> list[list[list[int]]]:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
        return [
            [list(image.getpixel((x, y))) for x in (width // 4, width * 3 // 4)]  # type: ignore[arg-type] # RGB
            for y in (height // 4, height * 3 // 4)
        ]


def _parts(data: bytes) -> list[str]:
    """Chunks of a PNG, or segments of a JPEG, with anything other than pixels."""
    if data.startswith(b"\x89PNG"):
        found, at = [], 8
        while at < len(data):
            found.append(data[at + 4 : at + 8].decode("latin-1"))
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        return sorted(set(found) - {"IHDR", "IDAT", "IEND"})
    start = data[: data.index(b"\xff\xda")]
    return sorted({f"FF{marker.hex().upper()}" for marker in re.findall(b"\xff([\xe1-\xef\xfe])", start)})


def judge(kind: ImageKind, answer: dict[str, object]) -> Iterator[str]:
    """The claims that do not hold, in words."""
    megabytes, seconds, outcome = float(str(answer["megabytes"])), float(str(answer["seconds"])), answer["outcome"]
    if megabytes > _MEGABYTES:
        yield f"{megabytes:,.0f} MB"
    if seconds > _SECONDS:
        yield f"{seconds:.1f} s"
    if outcome == "failed" or (kind.expectation != "either" and outcome != kind.expectation):
        yield f"{outcome}, not {kind.expectation}"
    if "0x7f" in str(answer["said"]) or "\n" in str(answer["said"]):
        yield "the message is not readable"
    if parts := answer.get("parts"):
        yield f"the result holds {parts}"
    corners = answer.get("corners")
    if isinstance(corners, list) and not kind.agrees(corners):
        yield f"the colours are {corners}, not {kind.corners}"


def measure(kinds: Iterable[ImageKind], entries: Sequence[str]) -> Iterator[Cost]:
    """Read every kind through every entry, in parallel on all processors."""
    forkers: SimpleQueue[Forker] = SimpleQueue()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        processors = os.cpu_count() or 1
        for _ in range(processors):
            forkers.put(stack.enter_context(Forker()))
        pool = stack.enter_context(ThreadPoolExecutor(processors))
        path = Path(folder, "image")
        for kind in kinds:
            path.write_bytes(kind.data)
            yield from pool.map(partial(_cost, kind, path, forkers), entries)


def _cost(kind: ImageKind, path: Path, forkers: SimpleQueue[Forker], entry: str) -> Cost:
    forker = forkers.get()
    try:
        answer = forker.read(path, entry)
    finally:
        forkers.put(forker)
    wrong = list(judge(kind, answer))
    for name in ("corners", "parts"):
        answer.pop(name, None)
    return Cost(kind.name, entry, wrong=wrong, **answer)  # type: ignore[arg-type] # what serve sends


def chosen(pattern: str, sample: bool) -> Iterator[ImageKind]:
    """The requested kinds."""
    small = {kind.name for kind in islice(image_kinds(), 0, None, _SAMPLE)} if sample else set()
    for kind in image_kinds(large=True):
        sampled = not sample or kind.name in small or any(fnmatch(kind.name, one) for one in _SAMPLED)
        if sampled and fnmatch(kind.name, pattern):
            yield kind


def table(costs: Sequence[Cost]) -> str:
    """The worst kinds of each format, by memory and by time."""
    formats = defaultdict(list)
    for cost in costs:
        formats[cost.name.partition("/")[0]].append(cost)
    lines = [f"{'format':8} {'kinds':>5} {'read':>5}   {'most memory':44} {'MB':>6}   {'longest':44} {'CPU s':>6}"]
    for name, members in formats.items():
        heavy = sorted(members, key=lambda cost: -cost.megabytes)[:3]
        slow = sorted(members, key=lambda cost: -cost.seconds)[:3]
        kinds = len({cost.name for cost in members})
        read = len({cost.name for cost in members if cost.outcome == "read"})
        for row, (most, longest) in enumerate(zip(heavy, slow, strict=True)):
            first = f"{name:8} {kinds:5} {read:5}" if row == 0 else " " * 20
            left, right = (f"{cost.name} ({cost.entry}, {cost.outcome})" for cost in (most, longest))
            lines.append(f"{first}   {left[:44]:44} {most.megabytes:6.0f}   {right[:44]:44} {longest.seconds:6.2f}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="*", help="names, such as 'png/*'")
    parser.add_argument("--sample", action="store_true", help="one small kind in forty, and the worst")
    parser.add_argument("--json", type=Path, help="a file for all that was measured")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    entries = _ENTRIES[:2] if options.sample else _ENTRIES
    costs = list(measure(chosen(options.kinds, options.sample), entries))
    print(table(costs))
    broken = [cost for cost in costs if cost.wrong]
    for cost in broken:
        print(f"{cost.name} ({cost.entry}): {'; '.join(cost.wrong)}; said: {cost.said or 'nothing'}")
    kinds = {cost.name for cost in costs}
    print(f"{len(kinds)} kinds; {len({cost.name for cost in broken})} do not hold")
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1))
    return 1 if broken or not costs else 0


if __name__ == "__main__":
    sys.exit(main())
