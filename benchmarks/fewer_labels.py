"""Number of labels that a model needs: started from drawings, with labels chosen by label-next or at random.

Claims, on CIFAR-100's 1,000 training photographs of bicycles and motorcycles (32x32 pixels), started from drawings:

* with 100 labels (80 for training, 10 for the temperature, 10 for the threshold), the accuracy on the 900 other
  photographs is at least 0.90, mean of the seeds;
* if one photograph in ten is a motorcycle, labels chosen by `scones label-next` are worth more than labels chosen at
  random: they reach the accuracy of the most random labels with fewer.

If both classes are equally frequent, the table shows how small the difference is.

Conditions: ``examples/close_the_loop.py`` unchanged, once per seed: 100 labels, the state machine run on 800
photographs (400 if motorcycles are rare), 50, 100 or 200 true labels added, trained again; tested on 100 photographs,
about half of them motorcycles, which differ between seeds, so that ten seeds test each photograph once. Preset
``fast``, one thread. The selection method was chosen on these photographs, among uncertainty alone, uncertainty with
thumbnails, uncertainty with the network's features, and random selection; test photographs were not used. Means with
Student's 95 % intervals over the seeds.

    python benchmarks/fewer_labels.py --data DIR      # DIR/train/{bicycle,motorcycle}/*.png

With photographs, on features, in less than a minute: 16 of each class's 64 photographs of clothing are held out for
testing (others for every seed), 5 of each class are labelled at first, and up to 300 labels are added by either method,
with the head trained again at each count. Claim: 300 chosen labels are worth more than 300 random ones::

    python benchmarks/fewer_labels.py --data DIR --photographs      # DIR/train/CLASS/*.jpg; a test folder is not read

Exit code 1 if a claim does not hold. The tables go to ``benchmarks/results/fewer_labels.json`` and
``fewer_labels_photographs.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np

_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT))

from examples.close_the_loop import Loop, Outcome, close_the_loop, spread, table  # noqa: E402
from scones_ml import dataset  # noqa: E402
from scones_ml.evaluation import choose_to_label, softmax  # noqa: E402
from scones_ml.heads.cross_fitting import L2  # noqa: E402
from scones_ml.heads.logistic import fit_logistic  # noqa: E402
from scones_ml.lifecycle.features import staged_features  # noqa: E402
from scones_ml.lifecycle.synthetic_model import synthetic_model  # noqa: E402
from scones_ml.local.backend import LocalBackend  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.backbones.features import Features

_CLASSES = ("bicycle", "motorcycle")
_SEEDS, _GATE = 10, 0.90
_LOOPS = {"alike": Loop(), "rare": Loop(waiting=400, rare=0.1)}
_COUNTS = (50, 75, 100, 150, 200, 300)  # labels of photographs of ten classes
_JUDGES, _STARTS, _DRAWS = 16, 5, 40  # photographs of each class, and how often they are drawn
_CODE = (
    "examples/close_the_loop.py",
    "scones_ml/evaluation/selection.py",
    "scones_ml/lifecycle/synthetic_model.py",
    *(f"scones_ml/training/{name}.py" for name in ("augment", "fit", "network", "optimizer", "presets")),
)


def _outcome(photographs: list[Path], seed: int, name: str, cache: Path) -> Outcome:
    """One loop; what the same code computed before is used again."""
    digest = hashlib.sha256(b"".join((_ROOT / name).read_bytes() for name in _CODE)).hexdigest()[:16]
    kept = cache / f"fewer-labels-{name}-{seed}-{digest}.json"
    if not kept.exists():
        began = time.perf_counter()
        # Trained once and kept for all seeds, as a workspace keeps it.
        backend, workspace = LocalBackend(cache / digest), cache / digest
        init = synthetic_model(backend, workspace, threads=1)
        with tempfile.TemporaryDirectory() as folder:
            found = close_the_loop(photographs, seed, Path(folder), replace(_LOOPS[name], init=init))
        kept.write_text(json.dumps(_document(found)), encoding="utf-8")
        print(f"  {name}, seed {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    read = json.loads(kept.read_text(encoding="utf-8"))
    return Outcome(read["doubtful"], read["rest"], {(how, count): share for how, count, share in read["accuracy"]})


def _document(outcome: Outcome) -> dict[str, object]:
    return asdict(outcome) | {"accuracy": [[*key, value] for key, value in outcome.accuracy.items()]}


def _gains(outcome: Outcome) -> list[float]:
    """What asking gained over chance, for each number of labels that were added."""
    counts = sorted({count for _, count in outcome.accuracy})[1:]
    return [outcome.accuracy["label-next", count] - outcome.accuracy["by chance", count] for count in counts]


def _fewest(outcomes: list[Outcome]) -> tuple[float, int | None]:
    """What the most labels by chance reach on average, and the least number of labels asked for that reaches it."""

    def mean(how: str, count: int) -> float:
        return sum(outcome.accuracy[how, count] for outcome in outcomes) / len(outcomes)

    counts = sorted({count for _, count in outcomes[0].accuracy})
    reached = mean("by chance", counts[-1])
    return reached, next((count for count in counts if mean("label-next", count) >= reached), None)


def _on_features(folder: Path, seeds: int, cache: Path) -> int:
    """Print the table of photographs; 1 when the claim does not hold."""
    with tempfile.TemporaryDirectory() as work:
        data = dataset.stage(folder, Path(work) / "data").dataset
        features = staged_features(data, cache / "photographs", threads=1)
        labels = np.array([record.label for record in data.records], np.int64)
        outcomes = [_draw(features, labels, len(data.classes), seed) for seed in range(seeds)]
    print(table(outcomes))
    most = max(_COUNTS)
    gain = [outcome.accuracy["label-next", most] - outcome.accuracy["by chance", most] for outcome in outcomes]
    claim = f"{most} labels that were asked for are worth more than {most} by chance"
    holds = mean(gain) > 1.96 * stdev(gain) / len(gain) ** 0.5
    print(f"{claim}: {spread(gain, '+')}: {'ok' if holds else 'MISSED'}")
    document = {"seeds": [_document(outcome) for outcome in outcomes], "claims": {claim: holds}}
    file = _ROOT / "benchmarks" / "results" / "fewer_labels_photographs.json"
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if holds else 1


def _draw(features: Features, labels: NDArray[np.int64], classes: int, seed: int) -> Outcome:
    """One draw of what judges and what is labelled at first, and both ways of going on from there."""
    chance = np.random.default_rng(seed)
    shuffled = [chance.permutation(np.flatnonzero(labels == k)) for k in range(classes)]
    judges = np.concatenate([rows[:_JUDGES] for rows in shuffled])
    start = np.concatenate([rows[_JUDGES : _JUDGES + _STARTS] for rows in shuffled])
    waiting = chance.permutation(np.concatenate([rows[_JUDGES + _STARTS :] for rows in shuffled]))
    accuracy: dict[tuple[str, int], float] = {}
    for how in ("label-next", "by chance"):
        taught, left = start, waiting
        linear = fit_logistic(features, taught, labels[taught], classes, L2)
        for count in _COUNTS:
            if missing := count - len(taught):
                vectors = features.take(left)
                asked = choose_to_label(softmax(linear.logits(vectors)), vectors, missing)
                wanted = asked if how == "label-next" else np.arange(missing)
                taught, left = np.concatenate([taught, left[wanted]]), np.delete(left, wanted)
                linear = fit_logistic(features, taught, labels[taught], classes, L2)
            accuracy[how, count] = float((linear.logits(features.take(judges)).argmax(1) == labels[judges]).mean())
    return Outcome(len(waiting), 0.0, accuracy)


def main() -> int:
    """Print the tables; 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = os.environ.get("SCONES_TEST_DATA")
    parser.add_argument("--photographs", action="store_true", help="large ones, on features")
    parser.add_argument("--data", type=Path, help="a folder of train/CLASS/*")
    parser.add_argument("--seeds", type=int, default=_SEEDS, choices=range(2, 11), metavar="2..10")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "scones-ml-benchmark")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    data = options.data or Path(root or ".") / ("photographs/clothing" if options.photographs else "cifar100-vehicles")
    if options.photographs:
        return _on_features(data / "train", _DRAWS, options.cache)
    photographs = sorted(path for name in _CLASSES for path in (data / "train" / name).glob("*.png"))
    if not photographs:
        sys.exit(f"error: no images in {data}/train/{{{','.join(_CLASSES)}}}: pass --data or set SCONES_TEST_DATA")
    document: dict[str, object] = {}
    claims = {}
    for name, loop in _LOOPS.items():
        outcomes = [_outcome(photographs, seed, name, options.cache) for seed in range(options.seeds)]
        gain = [sum(_gains(outcome)) / len(_gains(outcome)) for outcome in outcomes]
        print(f"{name}: with {loop.start} labels {spread([o.rest for o in outcomes])} of all others are right")
        print(table(outcomes))
        print(f"asking gains {spread(gain, '+')} over chance, mean of the three counts")
        reached, fewest = _fewest(outcomes)
        print(f"the most labels by chance reach {reached:.1%}; asked for, {fewest or 'no number of'} labels reach it\n")
        document[name] = {"fewest": fewest, "seeds": [_document(outcome) for outcome in outcomes]}
        if loop.rare is None:
            rest = sum(outcome.rest for outcome in outcomes) / len(outcomes)
            claims[f"100 labels on top of drawings reach {_GATE:.0%} of all others"] = rest >= _GATE
        else:
            most = max(count for _, count in outcomes[0].accuracy)
            claims["fewer labels where one class is rare"] = fewest is not None and fewest < most
    for claim, holds in claims.items():
        print(f"{claim}: {'ok' if holds else 'MISSED'}")
    file = _ROOT / "benchmarks" / "results" / "fewer_labels.json"
    file.write_text(json.dumps(document | {"claims": claims}, indent=2) + "\n", encoding="utf-8")
    return 0 if all(claims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
