"""Speed of drawing synthetic images.

Claim: at most 4 ms of one processor for an image of 32x32, so that 1,400 images take some five seconds.

Conditions: one thread, processor time, the mean over images of both kinds, best of three rounds. The floor is a
lower bound for renderers with Pillow: an empty canvas of the drawing's size, reduced to the image's size.
Run it: ``python benchmarks/synthetic.py``; exit code 1 if the claim does not hold.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from scones_ml.dataset.synthetic import KINDS, draw_image

if TYPE_CHECKING:
    from collections.abc import Callable

_BUDGET = 4.0  # milliseconds
_SIZES = {(32, 32): 300, (64, 64): 200, (224, 224): 30, (4000, 3000): 2}  # images a round


def _milliseconds(draw: Callable[[int], object], images: int) -> float:
    rounds = []
    for _ in range(3):
        start = time.process_time()
        for index in range(images):
            draw(index)
        rounds.append((time.process_time() - start) / images * 1e3)
    return min(rounds)


def _draw(kind: str, size: tuple[int, int], index: int) -> None:
    draw_image(kind, 0, index, size)


def main() -> int:
    """Print the table; return 1 if an image of 32x32 takes longer than claimed."""
    draw_image("bicycle", 0, 0)
    floor = _milliseconds(lambda _: Image.new("RGB", (128, 128)).resize((32, 32), Image.Resampling.BOX), 300)
    print(f"{'size':>12} {'bicycle':>9} {'motorcycle':>11}   ms an image")
    slowest = 0.0
    for size, images in _SIZES.items():
        times = [_milliseconds(partial(_draw, kind, size), images) for kind in KINDS]
        print(f"{size[0]:>6} x {size[1]:<4}{times[0]:9.2f} {times[1]:11.2f}")
        if size == (32, 32):
            slowest = max(times)
    print(f"{'floor at 32':>12} {floor:9.2f} {floor:11.2f}")
    print(f"claim: at most {_BUDGET} ms at 32x32: {'holds' if slowest <= _BUDGET else 'does NOT hold'}")
    return int(slowest > _BUDGET)


if __name__ == "__main__":
    sys.exit(main())
