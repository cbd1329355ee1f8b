"""Speed of bulk classification of a local folder.

Claim: a bulk run (listing, checks, batches through the state machine, results as JSON Lines) reaches at least 80 % of
the floor.

Conditions: a real model, every file read from disk (warm cache), all processors busy. The floor is a lower
bound with these parts: open, decode and resize with Pillow, stack, ONNX Runtime; in threads that share one session, and
in processes with a session each, without their start-up; the faster of the two is used. One by one is the per-image
state machine with the model in the process. Rounds alternate, and the best one is used.
Run it: ``python benchmarks/bulk.py [--images DIR --model MODEL] [--rounds N]``; without them images are drawn and a
model is trained for one epoch. Exit code 1 if the claim does not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from scones_ml import backends, dataset, lifecycle
from scones_ml.inference.model import OnnxClassifier, load_classifier
from scones_ml.local.bulk import LocalBulkRunner
from scones_ml.local.workspace import WorkspaceObjectStore
from scones_ml.ports import BulkRequest, TrainingRequest

_CLAIM = 0.80
_BATCH = 64
_ONE_BY_ONE = 300  # images: it is slow, and its rate does not depend on their number

_model: OnnxClassifier


def _load(path: Path) -> None:
    global _model
    _model = load_classifier(path)


def _decode(path: Path, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def _floor_batch(paths: Sequence[Path]) -> int:
    size = _model.card.input_size
    return len(_model.predict_batch(np.stack([_decode(path, size) for path in paths])))


def _floor(pool: Executor, files: Sequence[Path]) -> int:
    return sum(pool.map(_floor_batch, [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]))


def _bulk(folder: Path, model: Path, workers: int) -> int:
    request = BulkRequest(str(folder), lifecycle.workflow_model(model, threshold=0.9))
    with tempfile.TemporaryDirectory() as buckets:
        return LocalBulkRunner(WorkspaceObjectStore(buckets), _BATCH, workers).run(request).images


def _one_by_one(files: Sequence[Path], model: Path) -> int:
    with tempfile.TemporaryDirectory() as workspace:
        backend = backends.backend("local", Path(workspace))
        refs = lifecycle.upload(backend, [(str(number), path.read_bytes()) for number, path in enumerate(files)])
        return len(list(lifecycle.run(backend, refs, model, 0.9)))


def _rate(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)


def _prepare(folder: Path) -> tuple[Path, Path]:
    """Drawn images and a model of one epoch, whose network has the same speed."""
    data = dataset.stage(dataset.Synthetic(per_class=1000, size=32), folder / "data").dataset
    backend = backends.backend("local", folder)
    lifecycle.train(backend, TrainingRequest(data=data.root, model=folder / "model", epochs=1))
    return data.root, folder / "model"


def _measure(folder: Path, model: Path, rounds: int) -> dict[str, float]:
    workers = os.cpu_count() or 1
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".jpg", ".jpeg"))
    _load(model)
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(workers))
        processes = stack.enter_context(ProcessPoolExecutor(workers, initializer=_load, initargs=(model,)))
        _floor(processes, files[: _BATCH * workers * 2])
        paths: dict[str, Callable[[], int]] = {
            f"floor, {workers} threads": lambda: _floor(threads, files),
            f"floor, {workers} processes": lambda: _floor(processes, files),
            f"bulk, {workers} threads": lambda: _bulk(folder, model, workers),
            "bulk, 1 thread": lambda: _bulk(folder, model, 1),
            "one by one": lambda: _one_by_one(files[:_ONE_BY_ONE], model),
        }
        best = dict.fromkeys(paths, 0.0)
        for _ in range(rounds):
            for name, work in paths.items():
                best[name] = max(best[name], _rate(work))
    print(f"{len(files):,} images, batches of {_BATCH}, best of {rounds} rounds")
    return best


def main() -> int:
    """Print the table; return 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, model = (options.images, options.model) if options.images else _prepare(Path(scratch))
        best = _measure(folder, model, options.rounds)
    floor = max(rate for name, rate in best.items() if name.startswith("floor"))
    bulk = next(rate for name, rate in best.items() if name.startswith("bulk"))
    for name, rate in best.items():
        print(f"{name:<24}{rate:8,.0f} images/s {rate / floor:7.0%} of the floor")
    holds = bulk >= _CLAIM * floor
    print(f"claim: at least {_CLAIM:.0%} of the floor: {'holds' if holds else 'does NOT hold'}")
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
