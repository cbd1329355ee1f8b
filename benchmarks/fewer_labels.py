"""How many labels a model needs: started from drawings, with labels that it asks for, beside labels by chance.

Claims, on CIFAR-100's 1,000 training photographs of bicycles and motorcycles (32x32 pixels):

* started from the model of drawings, 100 labels (80 to learn from, 10 for the temperature, 10 for the threshold) are
  right on at least 0.90 of the 900 other photographs, mean of the seeds;
* labels that `scones label-next` asks for reach with fewer labels what labels by chance reach: of the table's counts,
  the accuracy of the most labels by chance is reached with fewer that were asked for.

Conditions: ``examples/close_the_loop.py`` as it stands, once a seed: 100 labels, the state machine run on 800
photographs, 50, 100 or 200 answers taken from the truth, trained again from drawings; judged on 100 photographs that
are others for every seed. Preset ``fast``, one thread. How to choose was itself chosen on these photographs, among
four ways (doubt alone, doubt with thumbnails, doubt with the network's features, chance), and never on test
photographs. Means with Student's 95 % intervals over the seeds.

    python benchmarks/fewer_labels.py --data DIR      # DIR/train/{bicycle,motorcycle}/*.png

Exit code 1 when a claim does not hold. The table goes to ``benchmarks/results/fewer_labels.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT))

from examples.close_the_loop import Loop, Outcome, close_the_loop, spread, table  # noqa: E402
from scones_ml import labels  # noqa: E402
from scones_ml.local.backend import LocalBackend  # noqa: E402

_SEEDS, _GATE = 5, 0.90
_CODE = (
    "examples/close_the_loop.py",
    "scones_ml/evaluation/selection.py",
    "scones_ml/labels/drawings.py",
    *(f"scones_ml/training/{name}.py" for name in ("augment", "fit", "network", "optimizer", "presets")),
)


def _outcome(photographs: list[Path], seed: int, cache: Path) -> Outcome:
    """One loop; what the same code computed before is used again."""
    digest = hashlib.sha256(b"".join((_ROOT / name).read_bytes() for name in _CODE)).hexdigest()[:16]
    kept = cache / f"fewer-labels-{seed}-{digest}.json"
    if not kept.exists():
        started = time.perf_counter()
        # Trained once and kept for all seeds, as a workspace keeps it.
        init = labels.synthetic_model(LocalBackend(cache / digest), cache / digest, threads=1)
        with tempfile.TemporaryDirectory() as folder:
            found = close_the_loop(photographs, seed, Path(folder), Loop(init=init))
        document = asdict(found) | {"accuracy": [[*key, value] for key, value in found.accuracy.items()]}
        kept.write_text(json.dumps(document), encoding="utf-8")
        print(f"  seed {seed}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    read = json.loads(kept.read_text(encoding="utf-8"))
    return Outcome(read["doubtful"], read["rest"], {(how, count): share for how, count, share in read["accuracy"]})


def _mean(outcomes: list[Outcome], how: str, count: int) -> float:
    return sum(outcome.accuracy[how, count] for outcome in outcomes) / len(outcomes)


def main() -> int:
    """Print the table; 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = os.environ.get("SCONES_TEST_DATA")
    parser.add_argument("--data", type=Path, default=Path(root or ".") / "cifar100-vehicles", help="photographs")
    parser.add_argument("--seeds", type=int, default=_SEEDS, choices=range(2, 11), metavar="2..10")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "scones-ml-benchmark")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    photographs = sorted((options.data / "train").glob("*/*.png"))
    if not photographs:
        sys.exit(f"error: no pictures in {options.data}/train: pass --data or set SCONES_TEST_DATA")
    outcomes = [_outcome(photographs, seed, options.cache) for seed in range(options.seeds)]

    rest = sum(outcome.rest for outcome in outcomes) / len(outcomes)
    print(f"100 labels on top of drawings: {spread([o.rest for o in outcomes])} of the 900 others right")
    print(f"gate {_GATE:.0%}: {'ok' if rest >= _GATE else 'MISSED'}")
    print(table(outcomes))
    counts = sorted({count for _, count in outcomes[0].accuracy})
    reached = _mean(outcomes, "by chance", counts[-1])
    fewest = min((count for count in counts if _mean(outcomes, "label-next", count) >= reached), default=None)
    verdict = f"{fewest} labels asked for" if fewest else "no number of labels asked for"
    print(f"{counts[-1]} labels by chance reach {reached:.1%}; {verdict} reach it")
    ok = rest >= _GATE and fewest is not None and fewest < counts[-1]
    document = {
        "gate": {"rest": rest, "at_least": _GATE, "ok": rest >= _GATE},
        "fewest": fewest,
        "seeds": [
            asdict(outcome) | {"accuracy": [[*key, value] for key, value in outcome.accuracy.items()]}
            for outcome in outcomes
        ],
    }
    file = _ROOT / "benchmarks" / "results" / "fewer_labels.json"
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
