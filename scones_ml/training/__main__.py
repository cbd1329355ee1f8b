"""Entry point of training jobs under SageMaker's script-mode contract: ``python -m scones_ml.training``.

The data set is read from ``SM_CHANNEL_TRAINING`` and an optional base model from ``SM_CHANNEL_MODEL``; the model is
written to ``SM_MODEL_DIR`` and the figures by epoch to ``SM_OUTPUT_DATA_DIR``; hyperparameters are arguments. If there
is a folder ``/opt/ml/checkpoints``, as on spot instances, a restarted job resumes from it.
Exit codes: 0 done, 1 an error (one line on standard error, and in SageMaker's failure file), 2 usage, 130 interrupted.
"""

# ruff: noqa: T201 - a program

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from scones_ml.errors import MissingExtraError, SconesError
from scones_ml.training.presets import PRESETS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one training job and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how SageMaker and `scones` stop a job
    options = _parser().parse_args(arguments)
    if options.while_stdin_open:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        _train(options)
    except KeyboardInterrupt:
        return 130
    except (SconesError, OSError) as exc:
        message = " ".join(str(exc).split())
        print(f"error: {message}", file=sys.stderr)
        if (output := _base() / "output").is_dir():
            (output / "failure").write_text(message + "\n", encoding="utf-8")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scones_ml.training", description="Train a classifier.")
    parser.add_argument("--recipe", choices=["auto", "head", "scratch"], default="auto", help="(default: auto)")
    parser.add_argument("--fit", choices=["crop", "pad", "stretch"], default="crop", help="(default: crop)")
    parser.add_argument("--backbone", type=Path, help="ONNX file to use instead of the default backbone")
    parser.add_argument("--cache", type=Path, help="folder to cache the backbone and the images' features")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="fast", help="preset of the recipe scratch (default: fast)"
    )
    parser.add_argument("--epochs", type=_positive, help="passes over the training images (default: the preset's)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--threads", type=_positive, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--target-precision", type=_share, default=0.95, help="target precision of accepted predictions (default: 0.95)"
    )
    parser.add_argument("--while-stdin-open", action="store_true", help="stop when standard input is closed")
    return parser


def _end_with_stdin() -> None:
    """End this process when standard input closes, as when the parent dies, even by SIGKILL."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _train(options: argparse.Namespace) -> None:
    threads = _available_threads(options.threads)
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read by numpy on import
        os.environ.setdefault(library, str(threads))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required for determinism on CUDA
    try:
        from scones_ml.training.job import Job, run
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "onnx") from exc
    run(
        Job(
            data=_folder("SM_CHANNEL_TRAINING", "input/data/training"),
            model_dir=_folder("SM_MODEL_DIR", "model"),
            output_dir=_folder("SM_OUTPUT_DATA_DIR", "output/data"),
            recipe=options.recipe,
            fit=options.fit,
            backbone=options.backbone,
            cache=options.cache,
            init=_init(),
            checkpoints=checkpoints if (checkpoints := _base() / "checkpoints").is_dir() else None,
            preset=options.preset,
            epochs=options.epochs,
            seed=options.seed,
            threads=threads,
            device=options.device,
            target_precision=options.target_precision,
        )
    )


def _base() -> Path:
    """Base folder of the container; the variable is that of AWS's toolkit."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or _base() / default)


def _init() -> Path | None:
    """Base model: an archive in SageMaker's channel, or a local model folder."""
    given = os.environ.get("SM_CHANNEL_MODEL")
    if not given:
        return None
    archive = Path(given) / "model.tar.gz"
    return archive if archive.is_file() else Path(given)


def _available_threads(wanted: int) -> int:
    """Limit threads to cores: two threads on one core take twenty times as long as one."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if wanted > available:
        print(
            f"--threads {wanted} exceeds the {available} available to this process: using {available}", file=sys.stderr
        )
    return min(wanted, available)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
