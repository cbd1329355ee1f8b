"""Time to find the near duplicates among 100,000 images, and their detection rates.

Claim: among 100,000 signatures all near duplicates are found in at most 60 seconds on two cores, with less than 500 MB
beyond the signatures; every copy that was compressed, resized, brightened or mirrored is found with its original.

Conditions: drawn images of ten backgrounds; one pair in 18,000 passes the first comparison, as among CIFAR-100's ten
kinds of vehicles; every fiftieth image has a copy. For comparison: the floor, which is the matrix product for comparing
all pairs by 191 numbers, and with --data real photographs: the share of changed copies found, and the number of pairs
reported as nearly the same.

    python benchmarks/near_duplicates.py [--data DIR]      # DIR: photographs, at any depth

Exit code 1 if the claim does not hold. The table goes to ``benchmarks/results/near_duplicates.json``.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from scones_ml.evaluation.near_duplicates import SIMILARITY, near_duplicate_groups, near_pairs, similarities
from scones_ml.evaluation.signatures import SIGNATURE_LENGTH, signature, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

_ROOT = Path(__file__).resolve().parent.parent
_MOST_SECONDS, _MOST_MEGABYTES = 60, 500


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _cut(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    x, y = round(share * width), round(share * height)
    return image.crop((x, y, width - x, height - y))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG, quality 30": lambda image: _as_jpeg(image, 30),
    "64 pixels a side": lambda image: image.resize((64, 64), Image.Resampling.LANCZOS),
    "20 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "20 % less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "mirrored": ImageOps.mirror,
    "cut by 1 % at each side": lambda image: _cut(image, 0.01),
    "cut by 2 % at each side": lambda image: _cut(image, 0.02),
    "cut by 3 % at each side": lambda image: _cut(image, 0.03),
}


def _drawn(count: int) -> list[bytes]:
    """Signatures of drawn images, with a changed copy after every fiftieth."""
    random = np.random.default_rng(0)
    backgrounds = random.integers(0, 256, (10, 5, 5, 3))
    changes = list(CHANGES.values())[:5]
    found: list[bytes] = []
    while len(found) < count:
        coarse = _enlarged(backgrounds[random.integers(len(backgrounds))] + random.integers(-70, 71, (5, 5, 3)))
        fine = _enlarged(128 + random.integers(-52, 53, (9, 9, 1)).repeat(3, axis=2)) - 128
        images = [Image.fromarray((coarse + fine).clip(0, 255).astype(np.uint8))]
        if len(found) % 50 == 0:
            images.append(changes[len(found) // 50 % len(changes)](images[0]))
        found += [signed for signed in map(signature, images) if signed]
    return found[:count]


def _enlarged(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    small = Image.fromarray(cells.clip(0, 255).astype(np.uint8))
    return np.asarray(small.resize((64, 64), Image.Resampling.BICUBIC), np.int64)


def _signed(images: Iterable[Image.Image]) -> NDArray[np.float32]:
    flat = b"\x01" * SIGNATURE_LENGTH  # an image without contrast
    return unpack(signature(image) or flat for image in images)


def _floor(vectors: NDArray[np.float32]) -> float:
    started = time.perf_counter()
    for top in range(0, len(vectors), 1024):
        for start in range(top, len(vectors), 4096):
            _ = vectors[top : top + 1024] @ vectors[start : start + 4096].T
    return time.perf_counter() - started


def _photographs(folder: Path) -> dict[str, float]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    images = [Image.open(path).convert("RGB") for path in files]
    started = time.perf_counter()
    originals = _signed(images)
    rows: dict[str, float] = {"photographs": len(files)}
    rows["ms a signature"] = (time.perf_counter() - started) / len(files) * 1000
    pairs = [similarities(originals[first], originals[second])[0] for first, second in near_pairs(originals)]
    rows["pairs called nearly the same"] = int(sum((values >= SIMILARITY).sum() for values in pairs))
    for name, change in CHANGES.items():
        values, _ = similarities(originals, _signed(map(change, images)))
        rows[f"found: {name}"] = float((values >= SIMILARITY).mean())
    return rows


def main() -> int:
    """Print the table; return 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--data", type=Path, help="a folder of photographs")
    options = parser.parse_args()
    signatures = _drawn(options.images)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    groups = near_duplicate_groups(unpack(signatures))
    seconds = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    copies = np.flatnonzero(np.arange(len(groups) - 1) % 50 == 0)
    found = float((groups[copies] == groups[copies + 1]).mean())
    rows: dict[str, float] = {
        "images": options.images,
        "seconds": seconds,
        "seconds of the floor": _floor(unpack(signatures)),
        "MB beyond the signatures": grown,
        "groups of several": int((np.bincount(groups) > 1).sum()),
        "copies found": found,
    }
    if options.data:
        rows |= _photographs(options.data)
    for name, value in rows.items():
        print(f"{name:32} {value:>12,.3f}" if isinstance(value, float) else f"{name:32} {value:>12,}")
    ok = seconds <= _MOST_SECONDS and grown <= _MOST_MEGABYTES and found == 1
    print(f"claim: at most {_MOST_SECONDS} s and {_MOST_MEGABYTES} MB, all copies: {'ok' if ok else 'MISSED'}")
    file = _ROOT / "benchmarks" / "results" / "near_duplicates.json"
    file.write_text(json.dumps({"rows": rows, "ok": ok}, indent=2) + "\n", encoding="utf-8")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
