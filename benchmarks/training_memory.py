"""Maximum memory of training on features, for any number of images.

Claims: the peak of anonymous memory, the interpreter and its libraries included, is at most 500 MB for

* staging 5,000 distinct images of 224 pixels, which are generated when read, and computing their features;
* training on 100,000 feature vectors of 1,472 numbers, with 10 classes and with 1,000: whitening, classifier,
  directions, limit, temperature and threshold (:func:`scones_ml.heads.cross_fitting.learn_held_out`).

Conditions: one thread, a process for each part; its ``RssAnon`` is read every few milliseconds from outside. Features
are normal around centres of their classes, a tenth of the labels are wrong, and they are read from a memory map of
float16, whose pages the system can reclaim at any time and which are not counted.

    python benchmarks/training_memory.py              # all parts
    python benchmarks/training_memory.py --only head-10 --rows 20000

Exit code 1 if a claim does not hold. The table goes to ``benchmarks/results/training_memory.json``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from scones_ml import dataset
from scones_ml.backbones import efficientnet_lite0
from scones_ml.backbones.extractor import BackboneExtractor
from scones_ml.backbones.features import Features, extract
from scones_ml.heads.cross_fitting import learn_held_out
from scones_ml.settings import ImagePolicy

_ROOT = Path(__file__).resolve().parent.parent
_MEGABYTES = 500
_IMAGES, _SIZE = 5_000, 224
_ROWS, _FEATURES, _WRITTEN_AT_ONCE = 100_000, 1_472, 1_000
_PARTS = ("extractor", "head-10", "head-1000")


@dataclass(frozen=True)
class Row:
    """Peak anonymous memory and processor time of one part."""

    part: str
    count: int
    megabytes: float
    cpu_seconds: float

    @property
    def ok(self) -> bool:
        return self.megabytes <= _MEGABYTES


@dataclass(frozen=True)
class Patches:
    """A source of images of two classes: coarse coloured noise, larger than the model's input."""

    count: int
    name: str = "patches"

    def classes(self) -> tuple[str, ...]:
        return ("even", "odd")

    def listing(self, classes: tuple[str, ...]) -> dataset.Listing:
        images = (
            dataset.Candidate(f"{number:05}.jpg", classes[number % 2], None, True, partial(_patches, number))
            for number in range(self.count)
        )
        return dataset.Listing(tuple(images), ignored=0)


def _patches(number: int) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(coarse).resize((352, 264), Image.Resampling.BICUBIC).save(encoded, "jpeg")
    return encoded.getvalue()


def _extractor(count: int, folder: Path) -> None:
    """Stage images and compute their features."""
    data = dataset.stage(Patches(count), folder / "data", image_size=_SIZE).dataset
    distinct = len({record.sha256 for record in data.records})
    assert distinct == count, f"{distinct} distinct images"
    policy = ImagePolicy(image_size=_SIZE)
    features = extract(BackboneExtractor(efficientnet_lite0(_SIZE)), data, data.records, policy, folder / "cache")
    assert len(features) == count


def _head(count: int, classes: int, folder: Path) -> None:
    """Train on feature vectors."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(count) % classes)
    centres = random.standard_normal((classes, _FEATURES), np.float32) / 4
    path = folder / "features"
    with path.open("wb") as file:
        for start in range(0, count, _WRITTEN_AT_ONCE):
            rows = centres[labels[start : start + _WRITTEN_AT_ONCE]]
            file.write((rows + random.standard_normal(rows.shape, np.float32)).astype(np.float16).tobytes())
    del centres
    wrong = random.random(count) < 0.1
    labels[wrong] = random.integers(0, classes, int(wrong.sum()))
    matrix: np.memmap[tuple[int, int], np.dtype[np.float16]] = np.memmap(
        path, np.float16, "r", shape=(count, _FEATURES)
    )
    taught, validated, calibrated = np.split(np.arange(count), [count * 8 // 10, count * 9 // 10])
    learned = learn_held_out(Features(matrix, np.arange(count)), labels, (taught, validated, calibrated), classes, 0.85)
    print(learned.choice.reason, file=sys.stderr)


def _run(part: str, count: int) -> None:
    """Run a part in this process."""
    with tempfile.TemporaryDirectory() as folder:
        if part == "extractor":
            _extractor(count, Path(folder))
        else:
            _head(count, int(part.removeprefix("head-")), Path(folder))


def _measured(part: str, count: int) -> Row:
    """Run a part in a separate process and measure it."""
    command = [sys.executable, __file__, "--run", part, "--rows", str(count)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    peak = 0
    while process.poll() is None:
        peak = max(peak, _anonymous(process.pid))
        time.sleep(0.003)
    if process.returncode:
        sys.exit(f"error: {part} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Row(part, count, round(peak / 1e6), round(seconds, 1))


def _anonymous(process: int) -> int:
    """Anonymous memory of a process in bytes; 0 if it has ended."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    _, found, rest = text.partition("RssAnon:")
    return int(rest.split()[0]) * 1024 if found else 0


def main() -> int:
    """Print the table; return 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=_PARTS, help="one part; the result file is then left alone")
    parser.add_argument("--rows", type=int, help="images or feature vectors; the result file is then left alone")
    parser.add_argument("--run", choices=_PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        _run(options.run, options.rows)
        return 0
    counts = {part: options.rows or (_IMAGES if part == "extractor" else _ROWS) for part in _PARTS}
    rows = [_measured(part, counts[part]) for part in ([options.only] if options.only else _PARTS)]
    for row in rows:
        print(
            f"{row.part:10}  {row.count:>7,} rows  {row.megabytes:>5.0f} MB of at most {_MEGABYTES}  "
            f"{row.cpu_seconds:>6.1f} CPU s  {'ok' if row.ok else 'MISSED'}"
        )
    if not options.only and not options.rows:
        file = _ROOT / "benchmarks" / "results" / "training_memory.json"
        file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
