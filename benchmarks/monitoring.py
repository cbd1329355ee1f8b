"""Speed and memory of monitoring, and the quality of drift alarms.

Claims:
1. ``monitor`` reads 100,000 capture records in at most 5 seconds.
2. Ten times the records take no more memory (at most 10 % more, peak of the process).
3. With a reference of 100 images, the probability of any alarm in a stream that never changes is at most the stated
   level, although it is tested after each of 10,000 records (within two standard errors of the simulation).

Conditions: records of about 4 kB with a 32 x 32 PNG image each, as the workflow's endpoint keeps them, one file, warm
cache, one process. The floor is a lower bound in Python: each line through ``json.loads``. The alarms are compared with
common practice: a two-sample test of the same level, repeated every 256 records.
Run it: ``OMP_NUM_THREADS=1 python benchmarks/monitoring.py [--records N]``. Exit code 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from scones_ml.captures import Capture, CaptureWriter, Payload, read_captures
from scones_ml.evaluation.arrays import FloatArray
from scones_ml.monitoring import ConformalMartingale, MonitorRequest, Reference, make_reference, monitor
from scones_ml.monitoring.grids import CONFIDENCE, histogram
from scones_ml.monitoring.martingale import BLOCK

_SECONDS, _MORE_MEMORY = 5.0, 1.1
_ROUNDS = 3
_START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--streams", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = _write(Path(folder, "small"), options.records // 10)
        large = _write(Path(folder, "large"), options.records)
        held = [_speed(large, options.records), _memory(small, large)]
    held += [_false_alarms(options.streams)]
    _delays()
    return 0 if all(held) else 1


def _write(folder: Path, records: int) -> Path:
    """Write a capture file; images repeat after 200."""
    generator = np.random.default_rng(0)
    images = [_image(generator) for _ in range(200)]
    writer = CaptureWriter(folder, "bench")
    path = folder
    for number in range(records):
        sure = float(generator.uniform(0.5, 1.0))
        answer = Payload("application/json", json.dumps([sure, 1 - sure]).encode())
        time_ = _START + timedelta(seconds=number)
        path = writer.write(Capture(str(number), time_, Payload("image/png", images[number % 200]), answer), _START)
    return path


def _image(generator: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _reference() -> Reference:
    generator = np.random.default_rng(1)
    sure = generator.uniform(0.5, 1.0, 100)
    return make_reference(
        np.stack((sure, 1 - sure), axis=1),
        (generator.random(100) > sure).astype(np.int64),
        ("bicycle", "motorcycle"),
        [_image(generator) for _ in range(100)],
        image_size=32,
    )


def _speed(path: Path, records: int) -> bool:
    def floor() -> None:
        with path.open("rb") as lines:
            for line in lines:
                json.loads(line)

    def rows() -> None:
        for _ in read_captures(path):
            pass

    reference = _reference()
    runs: list[tuple[str, Callable[[], object]]] = [
        ("floor: json.loads of each line", floor),
        ("read_captures", rows),
        ("monitor", lambda: monitor(read_captures(path), MonitorRequest(threshold=0.9))),
        ("monitor with a reference", lambda: monitor(read_captures(path), MonitorRequest(reference=reference))),
    ]
    best = dict.fromkeys((name for name, _ in runs), math.inf)
    for _ in range(_ROUNDS):
        for name, run in runs:
            started = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - started)
    size = path.stat().st_size
    print(f"{records:,} records, {size / 1e6:.0f} MB, best of {_ROUNDS} rounds")
    for name, seconds in best.items():
        print(f"  {name:32} {seconds:6.2f} s {seconds / records * 1e6:7.1f} us a record")
    held = best["monitor"] * 100_000 / records <= _SECONDS
    print(f"  claim: 100,000 records in at most {_SECONDS:.0f} s: {_verdict(held)}")
    return held


def _memory(small: Path, large: Path) -> bool:
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        one, ten = pool.map(_peak, [small, large], chunksize=1)
    print(f"peak memory: {one / 1024:.0f} MiB, of ten times the records {ten / 1024:.0f} MiB")
    held = ten <= _MORE_MEMORY * one
    print(f"  claim: constant: {_verdict(held)}")
    return held


def _peak(path: Path) -> int:
    """The peak memory of this process in KiB after reading a file."""
    monitor(read_captures(path), MonitorRequest(reference=_reference()))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _sure(generator: np.random.Generator, size: int, shift: float = 0.0) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-generator.normal(2.0 - shift, 1.5, size))))


def _path(values: FloatArray, reference: int, seed: int) -> FloatArray:
    cells = CONFIDENCE.cells(values)
    martingale = ConformalMartingale(histogram(cells[:reference]), seed)
    stream = cells[reference:]
    return np.concatenate([martingale.update(stream[at : at + BLOCK]) for at in range(0, len(stream), BLOCK)])


def _false_alarms(streams: int) -> bool:
    generator = np.random.default_rng(7)
    most, usual = [], []
    for seed in range(streams):
        values = _sure(generator, 100 + 10_000)
        most.append(float(_path(values, 100, seed).max()))
        ends = np.arange(BLOCK, 10_001, BLOCK)
        gap = np.cumsum(values[100:])[ends - 1] / ends - values[:100].mean()
        usual.append(float((np.abs(gap) / (values.std() * np.sqrt(1 / 100 + 1 / ends))).max()))
    held = True
    print(f"false alarms in {streams} streams of 10,000 records that never change")
    print(f"  {'level':>6} {'martingale':>11} {'z-test':>7}")
    for level, z in ((0.2, 1.282), (0.1, 1.645), (0.05, 1.960), (0.01, 2.576)):
        alarms = float(np.mean(np.array(most) >= -math.log(level)))
        held &= alarms <= level + 2 * math.sqrt(level * (1 - level) / streams)
        print(f"  {level:6.2f} {alarms:11.3f} {np.mean(np.array(usual) >= z):7.3f}")
    print(f"  claim: at most the level: {_verdict(held)}")
    return held


def _delays() -> None:
    """Records from a drop of confidence to its alarm, at the level of one of six figures of 0.01 together."""
    generator = np.random.default_rng(9)
    print("records until a drop of confidence is found: median of 20 streams (share found within 3,000)")
    print(f"  {'reference':>9} {'drop, sd':>8} {'at once':>14} {'after 5,000':>14} {'after 50,000':>14}")
    for reference in (100, 300):
        for drop in (0.25, 0.5, 1.0):
            cells = [_delay(generator, reference, drop, before) for before in (0, 5000, 50_000)]
            print(f"  {reference:9} {drop:8} " + " ".join(f"{cell:>14}" for cell in cells))


def _delay(generator: np.random.Generator, reference: int, drop: float, before: int) -> str:
    needed, found = -math.log(0.01 / 6), []
    for seed in range(20):
        values = np.concatenate((_sure(generator, reference + before), _sure(generator, 3000, 1.5 * drop)))
        late = np.flatnonzero(_path(values, reference, seed)[before:] >= needed)
        found.append(float(late[0]) + 1 if late.size else math.inf)
    share, median = np.isfinite(found).mean(), float(np.median(found))
    return f"{median:.0f} ({share:.0%})" if math.isfinite(median) else f"- ({share:.0%})"


def _verdict(held: bool) -> str:
    return "holds" if held else "DOES NOT HOLD"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
