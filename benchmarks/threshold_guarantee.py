"""Check of the approximate guarantee: thresholds for data sets drawn from photographs, tested on the others.

Claim: if temperature and threshold are cross-fitted, at a target of 95 % and a level of 95 %, at most 5 % of data sets
get a threshold whose true precision is below the target, within the estimate's interval.

Each data set is used for training as by ``scones train`` (:func:`scones_ml.heads.cross_fitting.learn_cross_fitted`:
five folds, limit of unlike images, temperature, threshold, and a classifier of all its images), and its threshold is
tested on the photographs that it does not contain:

* 20 and 50 labels per class are drawn without replacement, and the rest of the 64 is for testing;
* 64 are drawn with replacement, and those that were not drawn are for testing: once without the copies, as
  ``scones stage`` drops them (about 41 per class are left), and once with them, copies of a photograph in one fold.
  This is harder: the exact test of the threshold counts a copy as further evidence, which about doubles the variance.

There are few test photographs, so that a precision below the target is often due to chance: a threshold with a true
precision of exactly 95 % falls below it nearly half the time (``by chance``). True precisions are therefore estimated:
they are assumed to be logistic-normal over the data sets that have a threshold, the right predictions binomial, and
both parameters are fitted by maximum likelihood (:func:`below`). All data sets share the same photographs, so the
interval is from leaving out a twentieth of the test photographs at a time (delete-a-group jackknife).

    python benchmarks/threshold_guarantee.py                    # the 640 photographs under SCONES_TEST_DATA
    python benchmarks/threshold_guarantee.py --sets 200         # minutes instead of an hour
    python benchmarks/threshold_guarantee.py --only 20          # one number of labels; results are cached

Exit code 1 if the claim does not hold. The table goes to ``benchmarks/results/threshold_guarantee.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scones_ml import images
from scones_ml.backbones import efficientnet_lite0
from scones_ml.backbones.extractor import BackboneExtractor
from scones_ml.backbones.features import Features
from scones_ml.evaluation import clopper_pearson
from scones_ml.evaluation.intervals import binomial_cdf
from scones_ml.heads.cross_fitting import learn_cross_fitted
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scones_ml.evaluation import Estimate

_ROOT = Path(__file__).resolve().parent.parent
_TARGET, _DELTA, _FOLDS = 0.95, 0.05, 5
_DRAWS = ("20", "50", "64 without copies", "64")  # labels of each class
_GROUPS, _T_NINETEEN = 20, 2.093  # of the jackknife, and Student's t with as many degrees of freedom less one
_UNSEEN, _REVIEWED, _WRONG, _RIGHT = -1, 0, 1, 2
_CODE = (
    *(f"heads/{name}" for name in ("coordinates", "cross_fitting", "familiarity", "logistic", "whitening")),
    *(f"evaluation/{name}" for name in ("calibration", "fixed_sequence", "threshold")),
)


@dataclass(frozen=True)
class Photographs:
    """Feature vectors (N, D) and their labels (N,)."""

    vectors: NDArray[np.float16]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """A line of the table: shares of all data sets, unless stated otherwise."""

    labels: str
    sets: int
    with_threshold: float
    coverage: float
    precision: float
    judging: float
    below_target: Estimate
    by_chance: float
    violations: tuple[float, float, float]
    violations_where_there_is_one: float

    @property
    def ok(self) -> bool:
        return self.violations[1] <= _DELTA


def _read(folder: Path, cache: Path) -> Photographs:
    """The features of folder/CLASS/*, cached."""
    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not files:
        sys.exit(f"error: no photographs in {folder}/*/: pass --data or set SCONES_TEST_DATA")
    classes = sorted({path.parent.name for path in files})
    labels = np.array([classes.index(path.parent.name) for path in files])
    backbone = efficientnet_lite0(cache=cache)
    digest = hashlib.sha256(("\n".join(map(str, files)) + backbone.sha256).encode()).hexdigest()[:16]
    kept = cache / f"threshold-guarantee-{digest}.npy"
    if not kept.exists():
        extractor, policy = BackboneExtractor(backbone), ImagePolicy(image_size=backbone.input_size)
        pixels = (images.pixels(path.read_bytes(), policy.image_size, policy) for path in files)
        np.save(kept, np.concatenate([extractor.features(each[None]) for each in pixels]).astype(np.float16))
    return Photographs(np.load(kept), labels)


def draw(labels: NDArray[np.int64], name: str, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a data set with so many images of each class, and their folds.

    Drawn with replacement if a class has no more images; copies of an image are in one fold, or dropped.
    """
    count, copies = int(name.split()[0]), not name.endswith("without copies")
    random = np.random.default_rng([count, seed])
    rows, folds = [], []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        drawn = random.choice(members, count, replace=count >= len(members))
        distinct, which = np.unique(drawn, return_inverse=True)
        fold = random.permutation(len(distinct)) % _FOLDS
        rows.append(drawn if copies else distinct)
        folds.append(fold[which] if copies else fold)
    return np.concatenate(rows), np.concatenate(folds)


def judged(photographs: Photographs, name: str, seed: int) -> NDArray[np.int8]:
    """(N,) result for each photograph: not tested, sent to review, accepted and wrong, accepted and right.

    For a data set without a threshold, none is tested.
    """
    rows, folds = draw(photographs.labels, name, seed)
    features = Features(photographs.vectors, rows)
    labels, classes = photographs.labels[rows], int(photographs.labels.max()) + 1
    learned = learn_cross_fitted(features, labels, folds, classes, _TARGET)
    found = np.full(len(photographs.labels), _UNSEEN, np.int8)
    if learned.choice.threshold is None:
        return found
    rest = np.setdiff1d(np.arange(len(photographs.labels)), rows)
    answers = learned.answers(photographs.vectors[rest].astype(np.float32))
    right = answers.argmax(axis=1) == photographs.labels[rest]
    accepted = answers.max(axis=1) >= learned.choice.threshold
    found[rest] = np.where(accepted, np.where(right, _RIGHT, _WRONG), _REVIEWED)
    return found


def below(right: NDArray[np.int64], accepted: NDArray[np.int64], target: float) -> float:
    """The share of true precisions below a target, from (M,) right answers of (M,) accepted ones.

    The precisions are taken to be logistic-normal, the right answers to be binomial; maximum likelihood on a grid.
    """
    # Precisions from 0.62 to 0.9999, cut so that the target lies between two of them.
    logits = math.log(target / (1 - target)) + (np.arange(-280, 720) + 0.5) * 0.0087
    middles, spreads = np.linspace(1.5, 6.5, 101), np.geomspace(0.01, 1.5, 40)
    priors = np.exp(-(((logits - middles[:, None, None]) / spreads[:, None]) ** 2) / 2).reshape(-1, len(logits))
    priors /= priors.sum(axis=1, keepdims=True)
    pairs, times = np.unique(np.stack([right, accepted]), axis=1, return_counts=True)
    wrong = (pairs[1] - pairs[0])[:, None]
    likelihood = np.exp(-pairs[0][:, None] * np.logaddexp(0, -logits) - wrong * np.logaddexp(0, logits))
    best = int((np.log(priors @ likelihood.T + 1e-300) @ times).argmax())
    return float(priors[best][logits < math.log(target / (1 - target))].sum())


def _jackknifed(figure: Callable[[NDArray[np.int8]], float], sets: NDArray[np.int8]) -> tuple[float, float, float]:
    """A figure of (M, N) judged photographs with the interval that leaving some of the N out gives, in [0, 1]."""
    group = np.random.default_rng(0).permutation(sets.shape[1]) % _GROUPS
    value = figure(sets)
    others = np.array([figure(sets[:, group != each]) for each in range(_GROUPS)])
    error = math.sqrt((_GROUPS - 1) / _GROUPS * float(np.square(others - others.mean()).sum()))
    return value, max(0.0, value - _T_NINETEEN * error), min(1.0, value + _T_NINETEEN * error)


def summary(name: str, sets: NDArray[np.int8]) -> Row:
    """A line of the table, from (M, N) tested photographs of M data sets."""
    having = sets[(sets != _UNSEEN).any(axis=1)]
    accepted, right = (having >= _WRONG).sum(axis=1), (having == _RIGHT).sum(axis=1)
    share = len(having) / len(sets)

    def violations(some: NDArray[np.int8]) -> float:
        passed = (some >= _WRONG).sum(axis=1)
        some, passed = some[passed > 0], passed[passed > 0]
        return share * below((some == _RIGHT).sum(axis=1), passed, _TARGET) if len(some) else 0.0

    found = _jackknifed(violations, having)
    return Row(
        labels=name,
        sets=len(sets),
        with_threshold=share,
        coverage=float((accepted / (having != _UNSEEN).sum(axis=1)).mean()) if len(having) else 0.0,
        precision=float(right.sum() / max(1, accepted.sum())),
        judging=float(accepted.mean()) if len(having) else 0.0,
        below_target=clopper_pearson(int((right < _TARGET * accepted).sum()), len(sets)),
        by_chance=share * float(np.mean([_falls_below(int(n)) for n in accepted])) if len(having) else 0.0,
        violations=found,
        violations_where_there_is_one=found[0] / share if share else 0.0,
    )


def _falls_below(accepted: int) -> float:
    """Probability that fewer than the target share are right if each is right with exactly that probability."""
    return binomial_cdf(math.ceil(_TARGET * accepted) - 1, accepted, _TARGET)


def _sets(photographs: Photographs, name: str, number: int, cache: Path) -> NDArray[np.int8]:
    """(M, N) results of so many data sets; results of the same code are cached."""
    code = b"".join((_ROOT / "scones_ml" / f"{name}.py").read_bytes() for name in _CODE)
    digest = hashlib.sha256(photographs.vectors.tobytes() + code).hexdigest()[:16]
    kept = cache / f"threshold-guarantee-{name.replace(' ', '-')}-{digest}.npy"
    found = list(np.load(kept)) if kept.exists() else []
    started = time.perf_counter()
    for seed in range(len(found), number):
        found.append(judged(photographs, name, seed))
        if len(found) % 100 == 0 or len(found) == number:
            temporary = kept.with_suffix(".part.npy")
            np.save(temporary, np.stack(found))
            temporary.replace(kept)
            print(f"  {name} labels: {len(found)} sets, {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return np.stack(found[:number])


def _table(rows: list[Row]) -> str:
    head = (
        "labels a class",
        "sets",
        "with a threshold",
        "coverage",
        "right of accepted",
        "below 95 % where judged",
        "by chance at 95 %",
        "violations, all sets",
        "of those with one",
        "claim",
    )
    lines = [
        (
            row.labels,
            f"{row.sets:,}",
            f"{row.with_threshold:.1%}",
            f"{row.coverage:.1%}",
            f"{row.precision:.1%}",
            f"{row.below_target.percent()} of {row.judging:.0f}",
            f"{row.by_chance:.1%}",
            "{:.1%} ({:.1%} to {:.1%})".format(*row.violations),
            f"{row.violations_where_there_is_one:.1%}",
            "ok" if row.ok else "MISSED",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in [head, *lines]
    )


def main() -> int:
    """Print the table; return 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = os.environ.get("SCONES_TEST_DATA")
    data = Path(root or ".") / "photographs" / "clothing" / "train"
    parser.add_argument("--data", type=Path, default=data, help="a folder of CLASS/*")
    parser.add_argument("--sets", type=int, default=2_000, help="data sets for each number of labels")
    parser.add_argument("--only", choices=_DRAWS, help="the result file is then left alone")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "scones-ml-benchmark")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    photographs = _read(options.data, options.cache)
    names = [options.only] if options.only else _DRAWS
    rows = [summary(name, _sets(photographs, name, options.sets, options.cache)) for name in names]
    print(_table(rows))
    if not options.only:
        document = {"target": _TARGET, "delta": _DELTA, "folds": _FOLDS, "rows": [asdict(row) for row in rows]}
        file = _ROOT / "benchmarks" / "results" / "threshold_guarantee.json"
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
