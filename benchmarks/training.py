"""Accuracy and cost of training on real photographs of bicycles and motorcycles.

Claims, for the preset ``best`` on the 1,000 training photographs of CIFAR-100's two classes (32x32 pixels):

* a run takes at most 45 CPU seconds on one thread;
* 5-fold out-of-fold accuracy is at least 0.935, and after a temperature that is fitted on the other folds the
  out-of-fold calibration error (ECE, 15 bins of equal mass) is at most 0.03;
* five seeds, each trained on all 1,000, reach 0.945 on average on the 200 test photographs;
* 12,000 of the project's synthetic images alone reach 0.78 on all 1,200 real photographs.

A model uses one view of an image. ``--only views`` shows the gain and cost of averaging six, shifted by a pixel and
mirrored, out of fold for both presets.

Recipes are compared and chosen out of fold only; the test photographs are used for no choice. The table also has the
figures of 17 public course runs on the same data: SageMaker's built-in ResNet-152, 30 epochs on a V100.

    python benchmarks/training.py --data DIR          # DIR/{train,test}/{bicycle,motorcycle}/*.png, 32x32
    python benchmarks/training.py --only oof          # one part; results are cached
    python benchmarks/training.py --device cuda

Exit code 1 if a claim does not hold. Table, settings and code version go to ``benchmarks/results/training*.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from scones_ml import images
from scones_ml.dataset import synthetic
from scones_ml.evaluation import clopper_pearson, fit_temperature, softmax
from scones_ml.evaluation.calibration import expected_calibration_error
from scones_ml.evaluation.intervals import bootstrap
from scones_ml.inference.model import ModelCard, OnnxClassifier
from scones_ml.training.export import to_onnx
from scones_ml.training.fit import fit, make_repeatable
from scones_ml.training.presets import PRESETS, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parent.parent
_CLASSES = ("bicycle", "motorcycle")
_FOLDS, _SEEDS, _SPLIT_SEED, _BINS = 5, 5, 7, 15
_SYNTHETIC_PER_CLASS, _SYNTHETIC_SEED, _SYNTHETIC_EPOCHS = 6000, 1, 8
_LEARNING = ("augment", "fit", "network", "optimizer")
_SHIFTS, _SHIFT_WEIGHTS = ((0, 0), (-1, -1), (1, 1)), (0.5, 0.25, 0.25)  # as in cifar10-airbench
_VIEW_SEEDS, _TIMED, _ALMOST_ALL_RIGHT = 3, 500, 0.99
_T_FOUR = 2.776  # Student's t with four degrees of freedom, 97.5 %

LabelledImages = tuple["NDArray[np.uint8]", "NDArray[np.int64]"]


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure with its 95 % interval, and its bound if it is checked."""

    claim: str
    conditions: str
    figure: float
    low: float
    high: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ok(self) -> bool:
        return (self.at_least is None or self.figure >= self.at_least) and (
            self.at_most is None or self.figure <= self.at_most
        )

    @property
    def gate(self) -> str:
        if self.at_least is None and self.at_most is None:
            return ""
        sign, bound = (">=", self.at_least) if self.at_least is not None else ("<=", self.at_most)
        return f"{sign} {bound:g} {'ok' if self.ok else 'MISSED'}"


@dataclass(frozen=True)
class Run:
    """One trained network: CPU and wall seconds, and logits (6, N, K) of six views; the first is the image as it is."""

    views: NDArray[np.float32]
    cpu: float
    wall: float


@dataclass(frozen=True)
class Bench:
    """A trainer with a cache by code and settings."""

    recipe: Recipe
    device: str
    cache: Path

    def run(
        self,
        name: str,
        seed: int,
        recipe: Recipe,
        train: LabelledImages | Callable[[], LabelledImages],
        judge: NDArray[np.uint8],
    ) -> Run:
        key = hashlib.sha256(repr((name, seed, recipe, self.device, _code(name), len(judge))).encode()).hexdigest()[:16]
        file = self.cache / f"{name}-{key}.npz"
        if file.exists():
            with np.load(file) as kept:
                return Run(kept["views"], float(kept["cpu"]), float(kept["wall"]))
        images, labels = train() if callable(train) else train
        cpu, wall = time.process_time(), time.perf_counter()
        fitted = fit(images, labels, len(_CLASSES), recipe, seed=seed, device=self.device)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        run = Run(np.stack([fitted.logits(view) for view in _six_views(judge)]), cpu, wall)
        temporary = file.with_suffix(".part.npz")
        np.savez(temporary, views=run.views, cpu=cpu, wall=wall)
        temporary.replace(file)
        print(f"  {name}: {cpu:.1f} CPU s, {wall:.1f} s", file=sys.stderr, flush=True)
        return run


def out_of_fold(bench: Bench, train: LabelledImages, _test: LabelledImages) -> list[Row]:
    """Out-of-fold accuracy and calibration error."""
    labels = train[1]
    logits = _fold_views(bench, "best", train)[0]
    probabilities = _calibrated(logits, labels)
    correct = logits.argmax(1) == labels
    accuracy = clopper_pearson(int(correct.sum()), len(labels))
    where = f"{_FOLDS} folds of {len(labels)} training photographs"
    return [
        Row("accuracy, out of fold", where, accuracy.value, accuracy.low, accuracy.high, at_least=0.935),
        Row(
            "calibration error, out of fold",
            "temperature from the other folds",
            *_ece(probabilities, correct),
            at_most=0.03,
        ),
        Row("  the same without temperature", "", *_ece(softmax(logits), correct)),
    ]


def six_views(bench: Bench, train: LabelledImages, _test: LabelledImages) -> list[Row]:
    """Gain and cost of the mean logits of six views, compared with a model's single view."""
    images, labels = train
    rows = [row for preset in sorted(PRESETS) for row in _views_of(bench, preset, train)]
    untrained = dataclasses.replace(bench.recipe, epochs=1)  # answers as fast as any
    graph = to_onnx(fit(images, labels, len(_CLASSES), untrained), images.shape[1])
    one, six = (_milliseconds(graph, images[:count]) for count in (1, 2 * len(_SHIFTS)))
    where = f"one thread, preset best, quartiles of {_TIMED}"
    return [*rows, Row("ms an image, one view", where, *one), Row("ms an image, six views", where, *six)]


def _views_of(bench: Bench, preset: str, train: LabelledImages) -> list[Row]:
    labels = train[1]
    views = [_fold_views(bench, preset, train, seed) for seed in range(_VIEW_SEEDS)]
    weights = np.array(_SHIFT_WEIGHTS * 2, np.float32) / 2
    one = [_calibrated(each[0], labels) for each in views]
    six = [_calibrated(np.einsum("v,vnk->nk", weights, each), labels) for each in views]
    where = f"preset {preset}, {_FOLDS} folds, mean of {_VIEW_SEEDS} seeds"

    def figures(some: NDArray[np.int64]) -> NDArray[np.float64]:
        first, more = (np.mean([_figures(p[some], labels[some]) for p in each], 0) for each in (one, six))
        return np.concatenate([first, more - first])

    values = figures(np.arange(len(labels)))
    low, high = 2 * values - np.quantile(bootstrap(figures, len(labels)), [0.975, 0.025], axis=0)  # as in _ece
    claims = ("accuracy", "calibration error", f"coverage, {_ALMOST_ALL_RIGHT:.0%} right")
    names = [f"{claim}, one view" for claim in claims] + [f"  six views add to {claim}" for claim in claims]
    intervals = np.stack([values, low, high], 1).tolist()
    return [Row(name, where, *interval) for name, interval in zip(names, intervals, strict=True)]


def _figures(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """Accuracy, calibration error, and the largest share of images, most confident first, that is almost all right."""
    confidence, hits = probabilities.max(1), (probabilities.argmax(1) == labels).astype(np.float64)
    right = hits[np.argsort(-confidence, kind="stable")].cumsum() / np.arange(1, len(hits) + 1)
    passed = np.flatnonzero(right >= _ALMOST_ALL_RIGHT)
    coverage = float(passed[-1] + 1) / len(hits) if len(passed) else 0.0
    return float(hits.mean()), float(expected_calibration_error(confidence, hits, bins=_BINS)), coverage


def _six_views(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Images (N, S, S, 3) unshifted and shifted both ways, then their mirror images."""
    size = images.shape[1]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    moved = [padded[:, 1 + dy : 1 + dy + size, 1 + dx : 1 + dx + size] for dy, dx in _SHIFTS]
    return [np.ascontiguousarray(view) for view in (*moved, *(view[:, :, ::-1] for view in moved))]


def _milliseconds(graph: bytes, images: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Median and quartiles of the graph's time for these images in one batch, on one thread."""
    card = ModelCard(labels=_CLASSES, input_size=images.shape[1])
    model, seconds = OnnxClassifier(graph, card), []
    for _ in range(_TIMED):
        started = time.perf_counter()
        model.predict_batch(images)
        seconds.append(time.perf_counter() - started)
    low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75]) * 1000
    return float(median), float(low), float(high)


def _fold_views(bench: Bench, preset: str, train: LabelledImages, seed: int = 0) -> NDArray[np.float32]:
    """Out-of-fold logits (6, N, K) of six views of every photograph."""
    images, labels = train
    fold = _folds(labels)
    views = np.zeros((2 * len(_SHIFTS), len(labels), len(_CLASSES)), np.float32)
    for k in range(_FOLDS):
        rest, number = fold != k, 10 * seed + k
        run = bench.run(f"{preset}-{number}", number, PRESETS[preset], (images[rest], labels[rest]), images[~rest])
        views[:, ~rest] = run.views
    return views


def _calibrated(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Out-of-fold probabilities; a fold's temperature is fitted on the other folds."""
    fold, probabilities = _folds(labels), np.zeros(logits.shape)
    for k in range(_FOLDS):
        temperature = fit_temperature(logits[fold != k], labels[fold != k])
        probabilities[fold == k] = softmax(logits[fold == k], temperature)
    return probabilities


def on_test(bench: Bench, train: LabelledImages, test: LabelledImages) -> list[Row]:
    """Accuracy on the test photographs over seeds, and the cost of a training."""
    runs = [bench.run(f"seed-{seed}", seed, bench.recipe, train, test[0]) for seed in range(_SEEDS)]
    right = np.stack([run.views[0].argmax(1) == test[1] for run in runs]).mean(0)  # (images,)
    low, high = np.quantile(bootstrap(lambda some: right[some].mean(keepdims=True), len(right)), [0.025, 0.975])
    where = f"{_SEEDS} seeds, all {len(train[1])} photographs, on {len(right)} test photographs"
    rows = [Row("accuracy, test, mean of seeds", where, float(right.mean()), float(low), float(high), at_least=0.945)]
    if bench.device == "cuda":
        return [
            *rows,
            Row("wall seconds a run", "on the GPU, first and last of the seeds", *_spread([run.wall for run in runs])),
        ]
    cpu = _spread([run.cpu for run in runs])
    return [*rows, Row("CPU seconds a run", f"one thread, {len(train[1])} photographs", *cpu, at_most=45)]


def from_synthetic(bench: Bench, train: LabelledImages, test: LabelledImages) -> list[Row]:
    """Accuracy on real photographs of a network trained only on drawings."""
    real, labels = np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]])
    recipe = dataclasses.replace(bench.recipe, epochs=_SYNTHETIC_EPOCHS)
    run = bench.run("synthetic", 0, recipe, _draw, real)
    hits = clopper_pearson(int((run.views[0].argmax(1) == labels).sum()), len(labels))
    where = f"{2 * _SYNTHETIC_PER_CLASS} drawings, {recipe.epochs} epochs, on {len(labels)} photographs"
    return [Row("accuracy, drawings only", where, hits.value, hits.low, hits.high, at_least=0.78)]


PARTS = {"oof": out_of_fold, "test": on_test, "synthetic": from_synthetic, "views": six_views}


def _draw() -> LabelledImages:
    numbered = [(label, index) for label in range(len(_CLASSES)) for index in range(_SYNTHETIC_PER_CLASS)]
    drawn = [np.asarray(synthetic.draw_image(_CLASSES[label], _SYNTHETIC_SEED, index)) for label, index in numbered]
    return np.stack(drawn), np.array([label for label, _ in numbered])


def _read(folder: Path) -> LabelledImages:
    files = [(label, path) for label, name in enumerate(_CLASSES) for path in sorted((folder / name).glob("*.png"))]
    if not files:
        sys.exit(f"error: no images in {folder}/{{{','.join(_CLASSES)}}}: pass --data or set SCONES_TEST_DATA")
    return np.stack([images.pixels(path.read_bytes(), 32) for _, path in files]), np.array(
        [label for label, _ in files]
    )


def _folds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fold for every image, with the same number of each class in every fold."""
    fold = np.empty(len(labels), np.int64)
    random = np.random.default_rng(_SPLIT_SEED)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        fold[members] = np.arange(len(members)) % _FOLDS
    return fold


def _ece(probabilities: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Calibration error with its bootstrap interval, mirrored at the figure: resampling adds as much as there is."""
    confidence, hits = probabilities.max(1), correct.astype(np.float64)

    def error(some: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.array([expected_calibration_error(confidence[some], hits[some], bins=_BINS)])

    figure = float(error(np.arange(len(hits)))[0])
    low, high = np.quantile(bootstrap(error, len(hits)), [0.025, 0.975])
    return figure, max(0.0, 2 * figure - float(high)), max(figure, 2 * figure - float(low))


def _spread(values: list[float]) -> tuple[float, float, float]:
    """Mean and its interval by Student's t over five runs."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, mean - _T_FOUR * error, mean + _T_FOUR * error


def _table(rows: list[Row]) -> str:
    """Aligned columns, and the figures of today's users underneath."""
    head = ("claim", "conditions", "figure", "95 % interval", "gate")
    lines = [(r.claim, r.conditions, f"{r.figure:.4g}", f"{r.low:.3g} to {r.high:.3g}", r.gate) for r in rows]
    today = "17 public runs: ResNet-152, V100, 443 s billed"
    lines += [
        ("users today, last epoch", today, "0.834", "", ""),
        ("users today, best of all epochs", today, "0.885", "", ""),
    ]
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in [head, *lines]
    )


def _code(name: str = "") -> str:
    """Digest of all code that affects a run's result; the recipe is a setting."""
    files = [_ROOT / "scones_ml" / "training" / f"{module}.py" for module in _LEARNING]
    if name == "synthetic":
        files += sorted((_ROOT / "scones_ml" / "dataset" / "synthetic").glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def _document(rows: list[Row], bench: Bench) -> dict[str, object]:
    return {
        "rows": [{**dataclasses.asdict(row), "ok": row.ok} for row in rows],
        "settings": {
            "preset": "best",
            "recipe": dataclasses.asdict(bench.recipe),
            "device": bench.device,
            "threads": 1,
            "synthetic_epochs": _SYNTHETIC_EPOCHS,
        },
        "code": {
            "commit": _git("rev-parse", "HEAD"),
            "digest": _code(),
            "changed": bool(_git("status", "--porcelain", "--", "scones_ml", "benchmarks")),
        },
        "machine": {
            "processor": _processor(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "gpu": torch.cuda.get_device_name() if bench.device == "cuda" else None,
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = os.environ.get("SCONES_TEST_DATA")
    parser.add_argument("--data", type=Path, default=Path(root or ".") / "cifar100-vehicles", help="photographs")
    parser.add_argument("--only", choices=sorted(PARTS), help="one part of it; the result file is then left alone")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "scones-ml-benchmark")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    make_repeatable(1, options.device)
    bench = Bench(PRESETS["best"], options.device, options.cache)
    train, test = _read(options.data / "train"), _read(options.data / "test")
    chosen = [options.only] if options.only else list(PARTS)
    rows = [row for name in chosen for row in PARTS[name](bench, train, test)]
    print(_table(rows))
    if not options.only:
        file = _ROOT / "benchmarks" / "results" / ("training.json" if options.device == "cpu" else "training-cuda.json")
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(_document(rows, bench), indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
