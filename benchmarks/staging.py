"""Cost of staging a photograph, compared with Pillow alone.

Claims: at 224 pixels `stage` takes at most 1.5 times the floor; at 32 pixels at most 4 ms of one processor for a
photograph of 500 x 375 pixels.

Conditions: JPEG photographs of 500 x 375 pixels (or ``--images DIR``), every file read from disk (warm cache), CPU time
of the whole process, one thread. The floor is a lower bound with these parts: read the file, decode it with
draft, resize it to the same sides, encode it as PNG of level 1. Rounds alternate, and the best one is used.
Run it: ``python benchmarks/staging.py [--images DIR] [--rounds N]``; without images they are drawn. Exit code 1 if
a claim does not hold.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from scones_ml import dataset

_TIMES_THE_FLOOR = 1.5  # at 224 px
_MS = 4.0  # at 32 px
_DRAWN = 200


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.images or _drawn(Path(temporary) / "photographs")
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        print(f"{len(files):,} photographs, CPU ms each, best of {options.rounds} rounds\n")
        print(f"{'size':>6}{'floor':>10}{'stage':>10}{'times':>9}")
        found = {size: _measured(folder, files, size, options.rounds, Path(temporary)) for size in (32, 64, 128, 224)}
    for size, (floor, staged) in found.items():
        print(f"{size:>6}{floor:>10.2f}{staged:>10.2f}{staged / floor:>9.2f}")
    held = found[224][1] <= _TIMES_THE_FLOOR * found[224][0] and (options.images or found[32][1] <= _MS)
    print(f"\n{'the claims hold' if held else 'A CLAIM DOES NOT HOLD'}")
    return 0 if held else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Stage photographs, beside Pillow alone.")
    parser.add_argument("--images", type=Path, help="a folder of class folders; drawn when left out")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _drawn(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(_DRAWN):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((500, 375))
        grain = rng.normal(0, 6, (375, 500, 3))
        pixels = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
        path = folder / ("bicycle", "motorcycle")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=88)
    return folder


def _measured(folder: Path, files: list[Path], size: int, rounds: int, temporary: Path) -> tuple[float, float]:
    """CPU milliseconds per image of the floor and of `stage`."""

    def stage() -> None:
        dataset.stage(folder, temporary / "staged", image_size=size)

    def floor() -> None:
        for file in files:
            _alone(file, size, temporary / "alone.png")

    times = [(_seconds(floor), _seconds(stage)) for _ in range(rounds)]
    best = [1000 * min(column) / len(files) for column in zip(*times, strict=True)]
    return best[0], best[1]


def _alone(file: Path, size: int, target: Path) -> None:
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        scale = size / min(image.size)
        sides = round(image.width * scale), round(image.height * scale)
        image.draft(None, (2 * sides[0], 2 * sides[1]))
        rgb = image.convert("RGB").resize(sides, Image.Resampling.BICUBIC, reducing_gap=3.0)
    rgb.save(target, "PNG", compress_level=1)


def _seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
