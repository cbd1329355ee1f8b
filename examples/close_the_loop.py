"""Active learning loop: few labels, a model, low-confidence images, a reviewer's answers, a better model.

A model is trained on a few labelled photographs and classifies many unlabelled ones; those whose labels would help most
are labelled (here with the true labels) and used for training. For comparison, as many photographs chosen at random.

    python examples/close_the_loop.py                        # drawn images, a minute or two
    python examples/close_the_loop.py --data PHOTOGRAPHS     # one folder per class, 1,000 or more; `--seeds 5`
"""

import argparse
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scones_ml import backends, dataset, lifecycle
from scones_ml.lifecycle.label_next import label_next
from scones_ml.lifecycle.synthetic_model import synthetic_model
from scones_ml.ports import Backend, ImageResult, TrainingRequest
from scones_ml.review.annotations import Annotation, AnnotationFile
from scones_ml.review.queue import read_queue


@dataclass(frozen=True)
class Loop:
    """Settings of the loop.

    Attributes:
        start: number of initial labels.
        waiting: maximum number of unlabelled photographs.
        held: number of held-out photographs, equal for both classes.
        answers: numbers of labels to add, one after the other.
        rare: share of the last class among labelled and unlabelled photographs; None for equal shares.
        init: the model to start from; None to train from scratch.
        epochs: epochs of each training; default: the preset's.
        threshold: minimum confidence to accept.
    """

    start: int = 100
    waiting: int = 800
    held: int = 100
    answers: Sequence[int] = (50, 100, 200)
    rare: float | None = None
    init: Path | None = None
    epochs: int | None = None
    threshold: float = 0.9


@dataclass(frozen=True)
class Outcome:
    """The result of one loop.

    Attributes:
        doubtful: number of photographs sent to review.
        rest: accuracy on all photographs without a label at the start.
        accuracy: accuracy on the held-out photographs, by method of choice and number of labels.
    """

    doubtful: int
    rest: float
    accuracy: dict[tuple[str, int], float]


def close_the_loop(photographs: Sequence[Path], seed: int, work: Path, loop: Loop) -> Outcome:
    """Label some photographs, train, classify the others, label the chosen ones, train again."""
    backend = backends.backend("local", work / "workspace")
    held, labelled, waiting = _dealt(photographs, seed, loop)
    for side, files in (("train", labelled), ("test", held)):
        for path in files:
            folder = work / "labelled" / side / path.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder)
    data = dataset.stage(work / "labelled", work / "data").dataset
    first = _train(backend, data, work / "first", seed, loop)

    truth = {f"{path.parent.name}-{path.name}": path.parent.name for path in waiting}
    refs = lifecycle.upload(backend, [(f"{path.parent.name}-{path.name}", path.read_bytes()) for path in waiting])
    results = list(lifecycle.run(backend, refs, first, loop.threshold))
    asked = {result.image.image_id: result for result in results}
    right = sum(result.label == truth[result.image.s3_key] for result in results)
    queue = read_queue(backend.store, backend.buckets.output)

    accuracy = {}
    before = _right(first, data)
    chances = random.Random(seed).sample(refs, len(refs))
    wanted = label_next(first, backend.store, refs, max(loop.answers))
    useful = [found.image for found in wanted]
    for chosen, images in (("label-next", useful), ("by chance", chances)):
        accuracy[chosen, loop.start] = before / len(held)
        for count in loop.answers:
            answers = _answered(
                [asked[image.image_id] for image in images[:count]], truth, work / f"{chosen}-{count}.jsonl"
            )
            source = dataset.ExtendedDataset(data, dataset.AnnotatedImages(answers, backend.store))
            extended = dataset.stage(source, work / f"{chosen}-{count}").dataset
            model = _train(backend, extended, work / f"{chosen}-{count}-model", seed, loop)
            accuracy[chosen, loop.start + count] = _right(model, extended) / len(held)
    return Outcome(len(queue.images), (right + before) / (len(waiting) + len(held)), accuracy)


def _dealt(photographs: Sequence[Path], seed: int, loop: Loop) -> tuple[list[Path], list[Path], list[Path]]:
    """Held-out photographs (another tenth for each seed), labelled ones and unlabelled ones."""
    dealt = sorted(photographs, key=lambda path: path.name)
    random.Random(0).shuffle(dealt)
    first = seed * loop.held % len(dealt)
    dealt = dealt[first:] + dealt[:first]
    held, rest = dealt[: loop.held], dealt[loop.held :]
    random.Random(seed).shuffle(rest)
    classes = sorted({path.parent.name for path in photographs})
    rare = 1 / len(classes) if loop.rare is None else loop.rare
    labelled, waiting = [], set[Path]()
    for name in classes:
        share = rare if name == classes[-1] else (1 - rare) / (len(classes) - 1)
        own = [path for path in rest if path.parent.name == name]
        given = round(loop.start * share)
        labelled += own[:given]
        most = loop.waiting if loop.rare is None else round(loop.waiting * share)
        waiting |= set(own[given:][:most])
    return held, labelled, [path for path in rest if path in waiting][: loop.waiting]


def _train(backend: Backend, data: dataset.Dataset, model: Path, seed: int, loop: Loop) -> Path:
    request = TrainingRequest(data.root, model, seed=seed, threads=1, epochs=loop.epochs, init=loop.init)
    lifecycle.train(backend, request)
    return model


def _right(model: Path, data: dataset.Dataset) -> int:
    """A model's accuracy on the held-out photographs."""
    predictions = lifecycle.predict(model, data.root)
    return int((predictions.probabilities.argmax(1) == predictions.labels).sum())


def _answered(results: Sequence[ImageResult], truth: dict[str, str], path: Path) -> Path:
    """A simulated reviewer who is always right."""
    file = AnnotationFile(path)
    for result in results:
        image, now = result.image, datetime.now(UTC)
        said, sure = result.label or "", result.confidence or 0.0
        label = truth[image.s3_key]
        file.append(Annotation(image.image_id, now, "truth", image.image_id, image, label, None, said, sure, 0.9))
    return path


def drawn(folder: Path, each: int) -> Path:
    """A folder of drawn images, in place of photographs."""
    for kind in dataset.Synthetic().classes():
        (folder / kind).mkdir(parents=True)
        for candidate in dataset.Synthetic(each, size=32, seed=1).listing((kind,)).candidates:
            (folder / candidate.name).write_bytes(candidate.read())
    return folder


def table(outcomes: Sequence[Outcome]) -> str:
    """Accuracy against labels used, mean and 95 % interval over the seeds."""
    lines = [f"{'labels':>6}  {'label-next':<22}{'at random':<22}difference"]
    for count in sorted({used for _, used in outcomes[0].accuracy}):
        useful, chance = ([o.accuracy[how, count] for o in outcomes] for how in ("label-next", "by chance"))
        gain = [a - b for a, b in zip(useful, chance, strict=True)]
        lines.append(f"{count:>6}  {spread(useful):<22}{spread(chance):<22}{spread(gain, '+')}")
    return "\n".join(lines)


_STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Student's t, 97.5 %, for 1 to 9 degrees of freedom."""


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and 95 % interval of a share over the seeds, in percent."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:{sign}.1%}"
    deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    reach = _STUDENT[min(len(values) - 1, 9) - 1] * deviation / len(values) ** 0.5
    return f"{mean:{sign}.1%} ± {100 * reach:.1f}"


def _scaled(loop: Loop, share: float) -> Loop:
    def some(count: int) -> int:
        return max(4, round(count * share))

    return replace(
        loop,
        start=some(loop.start),
        waiting=some(loop.waiting),
        held=some(loop.held),
        answers=tuple(map(some, loop.answers)),
    )


def main() -> None:
    """Run the loop once for every seed, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of class folders (default: drawn images)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 1,000 photographs to use")
    parser.add_argument("--answers", type=int, nargs="+", default=[50, 100, 200], help="numbers of labels to add")
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.data or drawn(Path(folder) / "drawn", max(30, round(500 * options.scale)))
        photographs = [path for path in sorted(root.rglob("*")) if path.is_file()]
        backend = backends.backend("local", Path(folder))
        # Starting from drawings would prove nothing for drawings: train from scratch.
        init = synthetic_model(backend, Path(folder)) if options.data else None
        loop = _scaled(Loop(answers=options.answers, init=init, epochs=options.epochs), options.scale)
        outcomes = [close_the_loop(photographs, s, Path(folder, str(s)), loop) for s in range(options.seeds)]
    print(
        f"{loop.start} labels, {loop.waiting} photographs without a label, of which "
        f"{round(sum(o.doubtful for o in outcomes) / len(outcomes))} sent to review; tested on {loop.held} per seed"
    )
    print(table(outcomes))


if __name__ == "__main__":
    main()
