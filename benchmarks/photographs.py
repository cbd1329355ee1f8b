"""Accuracy and cost of training on photographs.

Claims, for the recipe ``head`` in its plain form (one view, 224 pixels, cropped) on 640 photographs of ten kinds of
clothing, one thread:

* out-of-fold accuracy is at least 84.5 % (five folds, mean of three seeds);
* from the folder to the model file, staging included and nothing cached, it takes at most 15 CPU seconds and 400 MB of
  anonymous memory (where other programs share the cores, CPU seconds grow: 14.0, 14.9 and 16.9 in three such runs);
* a prediction on a decoded image takes at most 1.15 times as long as the published network in fp32 in ONNX Runtime,
  both measured alternately in this run;
* at its threshold at most 3 % of foreign images are accepted: of 200 drawings, of 200 enlarged thumbnails of vehicles.

The table also has other sizes and fits, and kinds of clothing that were left out of the training. The results of
scikit-learn and of the network fine-tuned in torch on the same folds are in ``photographs_peers.py``. Recipes are
compared and chosen out of fold only; the test photographs are used once and for no choice.

Coverage is the largest share of predictions, most confident first, with the stated precision; the temperature of a fold
is fitted on the others. Intervals: 95 %, bootstrap over photographs, exact for counts.

    python benchmarks/photographs.py                  # the photographs under SCONES_TEST_DATA
    python benchmarks/photographs.py --data DIR       # DIR/{train,test}/CLASS/*; without foreign thumbnails

Exit code 1 if a claim does not hold. The table goes to ``benchmarks/results/photographs.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scones_ml import dataset, images
from scones_ml.backbones import efficientnet_lite0, lite0
from scones_ml.backbones.extractor import BackboneExtractor
from scones_ml.backbones.features import Features
from scones_ml.dataset import synthetic
from scones_ml.evaluation import clopper_pearson, fit_temperature, softmax
from scones_ml.evaluation.calibration import expected_calibration_error
from scones_ml.evaluation.intervals import bootstrap
from scones_ml.heads.cross_fitting import Learned, learn_cross_fitted, out_of_fold
from scones_ml.inference.model import MODEL_GRAPH, OnnxClassifier, load_classifier
from scones_ml.inference.session import open_session
from scones_ml.settings import Fit, ImagePolicy
from scones_ml.training.job import Job, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_ROOT = Path(__file__).resolve().parent.parent
_FOLDS, _SEEDS, _BINS = 5, 3, 15
_READINGS: tuple[tuple[int, Fit], ...] = ((224, "crop"), (224, "pad"), (224, "stretch"), (288, "pad"), (352, "pad"))
_RIGHT = (0.95, 0.98, 0.99)
_TARGET, _KNOWN_PASS = 0.95, 0.67
_FOREIGN, _TIMED = 200, 200


@dataclass(frozen=True)
class Row:
    """A figure with its 95 % interval, checked if it is part of a claim."""

    what: str
    figure: float
    low: float | None = None
    high: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ok(self) -> bool:
        return (self.at_least is None or self.figure >= self.at_least) and (
            self.at_most is None or self.figure <= self.at_most
        )

    def __str__(self) -> str:
        interval = "" if self.low is None else f"{self.low:.3g} to {self.high:.3g}"
        bounds = [
            f"{sign} {bound:g}" for sign, bound in ((">=", self.at_least), ("<=", self.at_most)) if bound is not None
        ]
        gate = " ".join([*bounds, "ok" if self.ok else "MISSED"]) if bounds else ""
        return f"{self.what:66}  {self.figure:>8.4g}  {interval:16}  {gate}".rstrip()


@dataclass(frozen=True)
class Labelled:
    """Files and their labels (N,), 0..K-1."""

    files: list[Path]
    labels: NDArray[np.int64]

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1


def read(folder: Path) -> Labelled:
    """The photographs of folder/CLASS/*."""
    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not files:
        sys.exit(f"error: no photographs in {folder}/*/: pass --data or set SCONES_TEST_DATA")
    names = sorted({path.parent.name for path in files})
    return Labelled(files, np.array([names.index(path.parent.name) for path in files]))


def squares(files: Sequence[Path], size: int, fit: Fit) -> NDArray[np.uint8]:
    """(N, S, S, 3) pixels of the files, as a model's input."""
    policy = ImagePolicy(image_size=size, fit=fit)
    return np.stack([images.pixels(path.read_bytes(), size, policy) for path in files])


def folds(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """(N,) folds, each with its share of every class."""
    random, found = np.random.default_rng(seed), np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        found[members] = np.arange(len(members)) % _FOLDS
    return found


def figures(
    name: str, each: Sequence[tuple[NDArray[np.floating], NDArray[np.int64]]], truth: NDArray[np.int64]
) -> list[Row]:
    """Accuracy, coverages and calibration error from (N, K) logits and (N,) folds of every seed."""
    probabilities = [_calibrated(logits, fold, truth) for logits, fold in each]

    def mean(some: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(np.mean([_figures(p[some], truth[some]) for p in probabilities], axis=0))

    values = mean(np.arange(len(truth)))
    low, high = np.quantile(bootstrap(mean, len(truth), resamples=400), [0.025, 0.975], axis=0)
    names = ["right"] + [f"  let through at {share:.0%} right" for share in _RIGHT]
    rows = [
        Row(f"{name}: {what.strip()}" if not index else f"{what}", float(v), float(a), float(b))
        for index, (what, v, a, b) in enumerate(zip(names, values, low, high, strict=False))
    ]
    return [*rows, Row("  calibration error", float(values[-1]))]


def _figures(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> list[float]:
    confidence, hits = probabilities.max(axis=1), (probabilities.argmax(axis=1) == truth).astype(np.float64)
    right = hits[np.argsort(-confidence, kind="stable")].cumsum() / np.arange(1, len(hits) + 1)
    passed = [np.flatnonzero(right >= share) for share in _RIGHT]
    coverages = [float(found[-1] + 1) / len(hits) if len(found) else 0.0 for found in passed]
    return [float(hits.mean()), *coverages, expected_calibration_error(confidence, hits, bins=_BINS)]


def _calibrated(logits: NDArray[np.floating], fold: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty(logits.shape)
    for each in np.unique(fold):
        rest = (fold != each) & np.isfinite(logits).all(axis=1)
        found[fold == each] = softmax(logits[fold == each], fit_temperature(logits[rest], truth[rest]))
    return found


@dataclass(frozen=True)
class Bench:
    """The photographs with cached features."""

    data: Path
    cache: Path

    def features(self, name: str, pixels: Callable[[], NDArray[np.uint8]], size: int) -> Features:
        """Features of the named images, from the backbone for this size."""
        backbone = efficientnet_lite0(size, self.cache)
        key = hashlib.sha256(f"{self.data}/{name}/{size}/{backbone.sha256}".encode()).hexdigest()[:16]
        kept = self.cache / f"photographs-{key}.npy"
        if not kept.exists():
            extractor = BackboneExtractor(backbone)
            np.save(kept, np.concatenate([extractor.features(each[None]) for each in pixels()]).astype(np.float16))
        matrix = np.load(kept)
        return Features(matrix, np.arange(len(matrix)))

    def of(self, part: Labelled, name: str, size: int = 224, fit: Fit = "crop") -> Features:
        return self.features(f"{name}-{fit}", lambda: squares(part.files, size, fit), size)


def heads(bench: Bench, train: Labelled) -> list[Row]:
    """Out-of-fold figures of the recipe at every size and fit."""
    rows, truth = [], train.labels
    for size, fit in _READINGS:
        features = bench.of(train, "train", size, fit)
        splits = [folds(truth, seed) for seed in range(_SEEDS)]
        each = [(out_of_fold(features, truth, fold, train.classes), fold) for fold in splits]
        rows += figures(f"head, {size} px, {fit}", each, truth)
    first = rows[0]
    return [Row(first.what, first.figure, first.low, first.high, at_least=0.845), *rows[1:]]


def costs(bench: Bench, train: Labelled) -> list[Row]:
    """Cost from the folder to the model file in a separate process, and of one prediction of that model."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--make", folder, "--data", str(bench.data)]
        before, peak = resource.getrusage(resource.RUSAGE_CHILDREN), 0
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with subprocess.Popen(command, env=os.environ | one, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                peak = max(peak, _anonymous(process.pid))
                time.sleep(0.003)
        if process.returncode:
            sys.exit(f"error: training ended with {process.returncode}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        graph = Path(folder) / "model" / MODEL_GRAPH
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        ours, published = _milliseconds(load_classifier(graph.parent), squares(train.files[:8], 224, "crop"))
        return [
            Row("CPU s from folder to model file", seconds, at_most=15),
            Row("MB of anonymous memory at its peak", peak / 1e6, at_most=400),
            Row("MB of model.onnx", graph.stat().st_size / 1e6, at_most=8),
            Row("ms an answer, one decoded image", ours),
            Row("ms of ONNX Runtime on the published network in fp32", published),
            Row("  an answer takes so many times as long", ours / published, at_most=1.15),
        ]


def make(photographs: Path, folder: Path) -> None:
    """Stage and train like `scones stage` and `scones train`."""
    dataset.stage(photographs, folder / "data")
    run(Job(folder / "data", folder / "model", folder / "output", recipe="head"))


def _anonymous(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    _, found, rest = text.partition("RssAnon:")
    return int(rest.split()[0]) * 1024 if found else 0


def _milliseconds(model: OnnxClassifier, pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Median times of a prediction and of the published network, measured alternately."""
    session = open_session(lite0.to_onnx(lite0.read_weights(), 224, half=False), lite0.NAME, "reinstall it")
    seconds = np.empty((_TIMED, 2))
    for number in range(_TIMED):
        image = pixels[number % len(pixels)][None]
        started = time.perf_counter()
        model.predict_batch(image)
        between = time.perf_counter()
        session.run(None, {"image": image})
        seconds[number] = between - started, time.perf_counter() - between
    ours, published = np.median(seconds, axis=0) * 1e3
    return float(ours), float(published)


def foreign(bench: Bench, train: Labelled, thumbnails: Path) -> list[Row]:
    """Accepted shares of images of none of the classes, and of classes left out of the training."""
    features = bench.of(train, "train")
    learned = learn_cross_fitted(features, train.labels, folds(train.labels, 0), train.classes, _TARGET)
    drawn = bench.features("drawings", lambda: np.stack([_drawing(number) for number in range(_FOREIGN)]), 224)
    rows = [_accepted("drawings accepted", learned, drawn, at_most=0.03)]
    if files := sorted(thumbnails.glob("*/*.png")):
        some = files[:: max(1, len(files) // _FOREIGN)][:_FOREIGN]
        enlarged = bench.features("vehicles", lambda: squares(some, 224, "crop"), 224)
        rows.append(_accepted("enlarged thumbnails of vehicles accepted", learned, enlarged, at_most=0.03))
    at_rule, at_share = zip(*(_left_out(features, train, kind) for kind in range(train.classes)), strict=True)
    return [
        *rows,
        Row(
            "a kind left out: accepted at the threshold, mean of kinds",
            float(np.mean(at_rule)),
            min(at_rule),
            max(at_rule),
        ),
        Row(f"  where {_KNOWN_PASS:.0%} of known ones pass", float(np.mean(at_share)), min(at_share), max(at_share)),
    ]


def _drawing(number: int) -> NDArray[np.uint8]:
    kind = synthetic.KINDS[number % len(synthetic.KINDS)]
    return images.pixels(synthetic.draw_png(kind, 0, number, 128), 224, ImagePolicy(image_size=224))


def _accepted(name: str, learned: Learned, features: Features, at_most: float) -> Row:
    answers = learned.answers(features.take(np.arange(len(features))))
    passed = int((answers.max(axis=1) >= (learned.choice.threshold or 2.0)).sum())
    share = clopper_pearson(passed, len(features))
    return Row(name, share.value, share.low, share.high, at_most=at_most)


def _left_out(features: Features, train: Labelled, kind: int) -> tuple[float, float]:
    """Accepted of a class by a model of the others: at its threshold, and where a fixed share of the others pass."""
    known, others = np.flatnonzero(train.labels != kind), np.flatnonzero(train.labels == kind)
    labels = train.labels[known] - (train.labels[known] > kind)
    learned = learn_cross_fitted(Features(features.matrix, known), labels, folds(labels, 0), train.classes - 1, _TARGET)
    confidence = learned.answers(features.take(others)).max(axis=1)
    passing = float(np.quantile(learned.probabilities.max(axis=1), 1 - _KNOWN_PASS))
    return float((confidence >= (learned.choice.threshold or 2.0)).mean()), float((confidence >= passing).mean())


def tested(bench: Bench, train: Labelled, test: Labelled) -> list[Row]:
    """Figures on the test photographs, used once."""
    learned = learn_cross_fitted(bench.of(train, "train"), train.labels, folds(train.labels, 0), train.classes, _TARGET)
    answers = learned.answers(bench.of(test, "test").take(np.arange(len(test.labels))))
    hits, passed = answers.argmax(axis=1) == test.labels, answers.max(axis=1) >= (learned.choice.threshold or 2.0)
    shares = (
        (f"right of {len(hits)} test photographs", int(hits.sum()), len(hits)),
        ("  let through at the threshold for 95 %", int(passed.sum()), len(hits)),
        ("  right of these", int(hits[passed].sum()), int(passed.sum())),
    )
    found = [(name, clopper_pearson(count, of)) for name, count, of in shares]
    return [Row(name, share.value, share.low, share.high) for name, share in found]


def main() -> int:
    """Print the table; return 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = Path(os.environ.get("SCONES_TEST_DATA") or ".")
    parser.add_argument("--data", type=Path, default=root / "photographs" / "clothing", help="DIR/{train,test}/CLASS/*")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "scones-ml-benchmark")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.data / "train", options.make)
        return 0
    options.cache.mkdir(parents=True, exist_ok=True)
    bench, train, test = Bench(options.data, options.cache), read(options.data / "train"), read(options.data / "test")
    rows: list[Row] = []
    thumbnails = root / "cifar100-vehicles" / "train"
    parts: tuple[Callable[[], list[Row]], ...] = (
        lambda: heads(bench, train),
        lambda: costs(bench, train),
        lambda: foreign(bench, train, thumbnails),
        lambda: tested(bench, train, test),
    )
    for part in parts:
        found = part()
        print("\n".join(map(str, found)), flush=True)
        rows += found
    document = json.dumps([asdict(row) | {"ok": row.ok} for row in rows], indent=2)
    (_ROOT / "benchmarks" / "results" / "photographs.json").write_text(document + "\n", encoding="utf-8")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
