"""Results of other methods on the photographs of ``photographs.py``, on the same folds.

* scikit-learn's logistic regression on standardised features: those of the recipe ``head``, the network's 1,280 plain
  averages in fp32, and raw pixels at 32 px (C 0.003, 0.003 and 0.001, not tuned); and its cost compared with ours;
* the recipe ``scratch``, preset ``fast``, at 32 and 64 px, stretched;
* the network fine-tuned in plain torch: all weights, batch norms' statistics frozen, AdamW with one cycle to 5e-4,
  weight decay 0.01, 6 epochs of 32 images, mirrored and moved by up to 16 px, label smoothing 0.1, 224 px, cropped.

scikit-learn has three seeds, methods in torch have one (``--folds 1`` trains and tests only the first fold).

    python -m benchmarks.photographs_peers --only scikit-learn          # from the root of the checkout; or scratch
    python -m benchmarks.photographs_peers --only fine-tuned --folds 1  # minutes a fold on a CPU

Each part goes to ``benchmarks/results/photographs_peers_PART.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.photographs import Bench, Labelled, Row, figures, folds, read, squares
from scones_ml.backbones import lite0
from scones_ml.heads.cross_fitting import L2
from scones_ml.heads.logistic import fit_logistic

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

_ROOT = Path(__file__).resolve().parent.parent
_FOLDS, _SEEDS = 5, 3
_DEPENDENCY = ("scipy", "scikit-learn", "joblib", "threadpoolctl")
_EPOCHS, _BATCH, _RATE, _DECAY, _MOVED = 6, 32, 5e-4, 0.01, 16

Fitted = Callable[["NDArray[np.int64]", "NDArray[np.int64]"], "NDArray[np.floating]"]
"""From rows to learn from and rows to judge, to the logits of these."""


def _judged(name: str, truth: NDArray[np.int64], fitted: Fitted, *, seeds: int, count: int = _FOLDS) -> list[Row]:
    """The figures of a method, on the first folds of some seeds."""
    each, judged = [], np.isin(folds(truth, 0), range(count))
    started = time.process_time()
    for seed in range(seeds):
        fold = folds(truth, seed)
        logits = np.zeros((len(truth), int(truth.max()) + 1))
        for one in range(count):
            held = np.flatnonzero(fold == one)
            logits[held] = fitted(np.flatnonzero(fold != one), held)
        if count < _FOLDS:  # a temperature needs two parts
            fold = np.arange(len(truth)) % 2
        each.append((logits[judged], fold[judged]))
    seconds = (time.process_time() - started) / seeds / count
    return [*figures(name, each, truth[judged]), Row("  CPU s a fold", seconds)]


def scikit_learn(bench: Bench, train: Labelled, count: int) -> list[Row]:
    """Logistic regression by scikit-learn: on features, on the plain averages, on raw pixels; and its costs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = bench.of(train, "train")
    everything = np.arange(len(train.labels))
    ours = features.take(everything)
    raw = squares(train.files, 32, "stretch").reshape(len(train.labels), -1) / np.float32(255)
    inputs: dict[str, tuple[NDArray[np.floating], float]] = {
        "scikit-learn, the same features": (ours, 0.003),
        "scikit-learn, plain averages": (_plain_averages(train), 0.003),
        "scikit-learn, raw pixels at 32 px": (raw, 0.001),
    }
    rows = []
    for name, (vectors, strength) in inputs.items():

        def fitted(
            taught: NDArray[np.int64],
            held: NDArray[np.int64],
            vectors: NDArray[np.floating] = vectors,
            strength: float = strength,
        ) -> NDArray[np.floating]:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
            model.fit(vectors[taught], train.labels[taught])
            return np.asarray(model.decision_function(vectors[held]))

        rows += _judged(name, train.labels, fitted, seeds=_SEEDS, count=count)
    started = time.process_time()
    fit_logistic(features, everything, train.labels, train.classes, L2)
    between = time.process_time()
    make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=300)).fit(ours, train.labels)
    return [
        *rows,
        Row("CPU s of one classifier of all: our own", between - started),
        Row("CPU s of one classifier of all: scikit-learn", time.process_time() - between),
        Row("MB that scikit-learn's installation adds", sum(map(_installed, _DEPENDENCY)) / 1e6),
    ]


def _installed(package: str) -> int:
    paths = [Path(str(file.locate())) for file in metadata.files(package) or ()]
    return sum(path.stat().st_size for path in paths if path.exists())


def _plain_averages(train: Labelled) -> NDArray[np.float32]:
    """(N, 1280) averages of the published network's last channels."""
    import onnx
    import onnxruntime

    model = onnx.load_from_string(lite0.to_onnx(lite0.read_weights(), 224, half=False))
    last = [node.input[0] for node in model.graph.node if node.op_type == "Slice"][-1]
    model.graph.node.append(onnx.helper.make_node("GlobalAveragePool", [last], ["plain"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("plain", onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = squares(train.files, 224, "crop")
    return np.concatenate([session.run(["plain"], {"image": each[None]})[0].reshape(1, -1) for each in pixels])


def scratch(_bench: Bench, train: Labelled, count: int) -> list[Row]:
    """Our network, trained from scratch on these photographs."""
    from scones_ml.training.fit import fit, make_repeatable
    from scones_ml.training.presets import PRESETS

    make_repeatable(1, "cpu")
    rows = []
    for size in (32, 64):
        pixels = squares(train.files, size, "stretch")

        def fitted(
            taught: NDArray[np.int64], held: NDArray[np.int64], pixels: NDArray[np.uint8] = pixels
        ) -> NDArray[np.floating]:
            return fit(pixels[taught], train.labels[taught], train.classes, PRESETS["fast"]).logits(pixels[held])

        rows += _judged(f"scratch, {size} px", train.labels, fitted, seeds=1, count=count)
    return rows


def fine_tuned(_bench: Bench, train: Labelled, count: int) -> list[Row]:
    """The pretrained network, fine-tuned in all layers."""
    import torch

    torch.set_num_threads(1)
    pixels = torch.from_numpy(squares(train.files, 224, "crop")).permute(0, 3, 1, 2)  # (N, 3, S, S)
    labels = torch.from_numpy(train.labels)

    def fitted(taught: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.floating]:
        torch.manual_seed(0)
        parameters = _parameters(train.classes)
        some = torch.from_numpy(taught)
        steps = _EPOCHS * (-(-len(some) // _BATCH))
        optimizer = torch.optim.AdamW(parameters.values(), _RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
        for epoch in range(_EPOCHS):
            for part in torch.split(some[torch.randperm(len(some))], _BATCH):
                logits = _forward(_augmented(pixels[part]), parameters)
                loss = torch.nn.functional.cross_entropy(logits, labels[part], label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call] # torch's
                optimizer.step()
                schedule.step()
            print(f"  epoch {epoch}: loss {loss.item():.2f}", file=sys.stderr, flush=True)
        with torch.inference_mode():
            found = [_forward(part, parameters) for part in torch.split(pixels[torch.from_numpy(held)], _BATCH)]
        return np.asarray(torch.cat(found))

    name = f"fine-tuned in torch, {count} of {_FOLDS} folds"
    return _judged(name, train.labels, fitted, seeds=1, count=count)


def _parameters(classes: int) -> dict[str, torch.Tensor]:
    """The published weights with folded batch norms and a new last layer, all trainable."""
    import torch

    tensors, found = lite0.read_weights(), {}
    norms = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}
    norms |= {f"_blocks.{b}._expand_conv": f"_blocks.{b}._bn0" for b in range(1, 16)}
    norms |= {f"_blocks.{b}._depthwise_conv": f"_blocks.{b}._bn1" for b in range(16)}
    norms |= {f"_blocks.{b}._project_conv": f"_blocks.{b}._bn2" for b in range(16)}
    for name, norm in norms.items():
        gamma, beta, mean, variance = (
            tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        deviation = np.sqrt(variance + 1e-3)
        # Each channel's weights and its gain apart: with the gain folded in, steps would be of another size.
        found[f"{name}.weight"] = tensors[f"{name}.weight"] / deviation[:, None, None, None]
        found[f"{name}.gain"], found[f"{name}.bias"] = gamma, beta - mean / deviation * gamma
    found["last.weight"], found["last.bias"] = np.zeros((classes, 1280), np.float32), np.zeros(classes, np.float32)
    return {name: torch.tensor(value, dtype=torch.float32, requires_grad=True) for name, value in found.items()}


def _forward(pixels: torch.Tensor, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
    """(n, 3, S, S) of 0..255 to (n, K) logits; TensorFlow's SAME padding."""
    import torch
    from torch.nn import functional

    def convolve(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = parameters[f"{name}.weight"] * parameters[f"{name}.gain"][:, None, None, None]
        over = max(0, (-(-x.shape[-1] // stride) - 1) * stride + weight.shape[-1] - x.shape[-1])
        x = functional.pad(x, (over // 2, over - over // 2) * 2)
        groups = len(weight) if weight.shape[1] == 1 else 1
        return functional.conv2d(x, weight, parameters[f"{name}.bias"], stride, groups=groups)

    x = functional.relu6(convolve((pixels.float() - 127) / 128, "_conv_stem", 2))
    for number in range(16):
        prefix, y = f"_blocks.{number}.", x
        if f"{prefix}_expand_conv.weight" in parameters:
            y = functional.relu6(convolve(y, f"{prefix}_expand_conv"))
        y = functional.relu6(convolve(y, f"{prefix}_depthwise_conv", 2 if number in (1, 3, 5, 11) else 1))
        y = convolve(y, f"{prefix}_project_conv")
        x = x + y if x.shape == y.shape else y
    x = functional.relu6(convolve(x, "_conv_head")).mean((2, 3))
    return torch.addmm(parameters["last.bias"], x, parameters["last.weight"].T)


def _augmented(pixels: torch.Tensor) -> torch.Tensor:
    """Images mirrored at random, and all shifted by the same random offset."""
    import torch

    flipped = torch.where(torch.rand(len(pixels), 1, 1, 1) < 0.5, pixels.flip(3), pixels).float()
    padded = torch.nn.functional.pad(flipped, [_MOVED] * 4, mode="reflect")
    top, left = torch.randint(0, 2 * _MOVED + 1, (2,)).tolist()
    size = pixels.shape[-1]
    return padded[:, :, top : top + size, left : left + size]


_PARTS: dict[str, Callable[[Bench, Labelled, int], list[Row]]] = {
    "scikit-learn": scikit_learn,
    "scratch": scratch,
    "fine-tuned": fine_tuned,
}


def main() -> int:
    """Print and store the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = Path(os.environ.get("SCONES_TEST_DATA") or ".")
    parser.add_argument("--data", type=Path, default=root / "photographs" / "clothing", help="DIR/train/CLASS/*")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "scones-ml-benchmark")
    parser.add_argument("--only", choices=sorted(_PARTS), help="one part")
    parser.add_argument("--folds", type=int, default=_FOLDS, choices=range(1, _FOLDS + 1))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    bench, train = Bench(options.data, options.cache), read(options.data / "train")
    for name in [options.only] if options.only else list(_PARTS):
        rows = _PARTS[name](bench, train, options.folds)
        print("\n".join(map(str, rows)), flush=True)
        file = _ROOT / "benchmarks" / "results" / f"photographs_peers_{name.replace('-', '_')}.json"
        file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
