"""Recall and precision of ``scones stage --check-labels``.

Claim: with 5 % of the labels of CIFAR-100's 1,000 training photographs of bicycles and motorcycles exchanged, recall is
at least 70 % (exchanged labels that are reported) and precision at least 60 % (reported labels that were exchanged).

Conditions: the command's method, five trainings of the preset ``fast`` on four fifths of the photographs each, one
thread; labels exchanged at random for every seed; counts of all seeds together, exact 95 % intervals. Label errors in
the data count as wrongly reported. For comparison: reporting every image whose label the models contradict, as many of
these with the least probable labels, and cleanlab's ``find_label_issues`` on the same probabilities, if installed
(``pip install cleanlab``).

    python benchmarks/label_errors.py --data DIR      # DIR/train/{bicycle,motorcycle}/*.png

With photographs, the five models are classifiers on features. Claim: with 5 % of the labels of 640 photographs of ten
kinds of clothing exchanged, recall is at least 90 % and precision at least 60 %::

    python benchmarks/label_errors.py --data DIR --photographs      # DIR/train/CLASS/*.jpg

Exit code 1 if the claim does not hold. The tables go to ``benchmarks/results/label_errors.json`` and
``label_errors_photographs.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scones_ml import dataset
from scones_ml.evaluation import Estimate, clopper_pearson, find_label_errors
from scones_ml.lifecycle.label_check import out_of_fold
from scones_ml.local.backend import LocalBackend

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROOT = Path(__file__).resolve().parent.parent
_CLASSES = ("bicycle", "motorcycle")
_SHARE = 0.05
_CODE = (
    *(f"training/{name}" for name in ("augment", "fit", "network", "optimizer", "presets")),
    *(f"heads/{name}" for name in ("coordinates", "cross_fitting", "logistic", "whitening")),
    "backbones/lite0",
    "dataset/folds",
    "lifecycle/label_check",
)


@dataclass(frozen=True)
class Claim:
    """The claim over all seeds."""

    data: str
    seeds: int
    recall: float
    precision: float


_THUMBNAILS = Claim("cifar100-vehicles", 3, 0.7, 0.6)
_PHOTOGRAPHS = Claim("photographs/clothing", 10, 0.9, 0.6)


@dataclass(frozen=True)
class Judged:
    """One exchange of labels: probabilities (N, K), the labels as given, which of them were exchanged, seconds."""

    probabilities: NDArray[np.float32]
    given: NDArray[np.int64]
    exchanged: NDArray[np.bool_]
    seconds: float


@dataclass(frozen=True)
class Row:
    """One method of finding label errors, over all seeds."""

    method: str
    named: int
    found: int
    recall: Estimate
    precision: Estimate


def _judge(photographs: Path, seed: int, cache: Path) -> Judged:
    """Exchange labels, stage, and classify by models that were not trained on the images; results are cached."""
    source = b"".join((_ROOT / "scones_ml" / f"{name}.py").read_bytes() for name in _CODE)
    digest = hashlib.sha256(str(photographs).encode() + source).hexdigest()[:16]
    kept = cache / f"label-errors-{seed}-{digest}.npz"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            judged = _trained(photographs, seed, Path(folder), cache / digest)
        np.savez(kept, **asdict(judged))
    with np.load(kept) as file:
        return Judged(file["probabilities"], file["given"], file["exchanged"], float(file["seconds"]))


def _trained(photographs: Path, seed: int, work: Path, workspace: Path) -> Judged:
    files = sorted(path for path in photographs.glob("*/*") if path.suffix in {".jpg", ".png"})
    if not files:
        sys.exit(f"error: no images in {photographs}/*/: pass --data or set SCONES_TEST_DATA")
    classes = sorted({path.parent.name for path in files})
    chance = random.Random(seed)
    wrong = {path.name for path in chance.sample(files, round(_SHARE * len(files)))}
    for path in files:
        name = path.parent.name
        if path.name in wrong:
            name = chance.choice([other for other in classes if other != name])
        (work / "photographs" / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, work / "photographs" / name / path.name)
    data = dataset.stage(work / "photographs", work / "data").dataset
    started = time.perf_counter()
    judged = out_of_fold(LocalBackend(workspace), data, workspace, seed=seed, threads=1)
    seconds = time.perf_counter() - started
    print(f"  seed {seed}: {seconds:.0f} s", file=sys.stderr, flush=True)
    stems = {Path(name).stem for name in wrong}
    exchanged = np.array([Path(record.path).stem in stems for record in data.records])
    return Judged(judged.probabilities, judged.labels, exchanged, seconds)


def _named_by_us(judged: Judged) -> list[int]:
    return [error.index for error in find_label_errors(judged.probabilities, judged.given)]


def _contradicted(judged: Judged) -> list[int]:
    own = judged.probabilities[np.arange(len(judged.given)), judged.given]
    order = np.argsort(own, kind="stable")
    return [int(i) for i in order if judged.probabilities[i].argmax() != judged.given[i]]


def _least_probable(judged: Judged) -> list[int]:
    return _contradicted(judged)[: len(_named_by_us(judged))]


def _named_by_cleanlab(judged: Judged) -> list[int]:
    from cleanlab.filter import find_label_issues

    return [
        int(i)
        for i in find_label_issues(judged.given, judged.probabilities, return_indices_ranked_by="self_confidence")
    ]


def _row(method: str, runs: list[Judged], named: list[list[int]]) -> Row:
    count = sum(map(len, named))
    found = sum(int(run.exchanged[rows].sum()) for run, rows in zip(runs, named, strict=True))
    exchanged = sum(int(run.exchanged.sum()) for run in runs)
    return Row(method, count, found, clopper_pearson(found, exchanged), clopper_pearson(found, count))


def _rows(runs: list[Judged]) -> list[Row]:
    ways = {
        "scones stage --check-labels": _named_by_us,
        "every contradicted label": _contradicted,
        "  as many, the least probable": _least_probable,
    }
    try:
        import cleanlab  # noqa: F401

        ways["cleanlab find_label_issues"] = _named_by_cleanlab
    except ModuleNotFoundError:
        print("cleanlab is not installed: left out", file=sys.stderr)
    return [_row(method, runs, [name(run) for run in runs]) for method, name in ways.items()]


def _table(rows: list[Row]) -> str:
    head = ("method", "named", "found", "recall", "precision")
    lines = [(r.method, str(r.named), str(r.found), r.recall.percent(), r.precision.percent()) for r in rows]
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in [head, *lines]
    )


def main() -> int:
    """Print the table; return 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = os.environ.get("SCONES_TEST_DATA")
    parser.add_argument("--photographs", action="store_true", help="large ones, on features")
    parser.add_argument("--data", type=Path, help="a folder of train/CLASS/*")
    parser.add_argument("--seeds", type=int, help="how often labels are exchanged")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "scones-ml-benchmark")
    options = parser.parse_args()
    claim = _PHOTOGRAPHS if options.photographs else _THUMBNAILS
    options.cache.mkdir(parents=True, exist_ok=True)
    data = (options.data or Path(root or ".") / claim.data) / "train"
    runs = [_judge(data, seed, options.cache) for seed in range(options.seeds or claim.seeds)]
    rows = _rows(runs)
    exchanged = sum(int(run.exchanged.sum()) for run in runs)
    print(f"{exchanged} of {sum(len(run.given) for run in runs):,} labels exchanged, {len(runs)} seeds")
    print(_table(rows))
    seconds = [round(run.seconds) for run in runs]
    print(f"seconds a check on this machine: {', '.join(map(str, seconds))}")
    ok = rows[0].recall.value >= claim.recall and rows[0].precision.value >= claim.precision
    print(f"claim: recall >= {claim.recall:.0%} and precision >= {claim.precision:.0%}: {'ok' if ok else 'MISSED'}")
    name = "label_errors_photographs.json" if options.photographs else "label_errors.json"
    document = {"seeds": len(runs), "exchanged": exchanged, "seconds": seconds, "rows": [asdict(row) for row in rows]}
    (_ROOT / "benchmarks" / "results" / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
