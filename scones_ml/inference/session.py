"""ONNX Runtime sessions for graphs from anywhere: what they hold, compute and allocate is bounded."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from typing import TYPE_CHECKING, Final

from scones_ml.errors import ConfigurationError, MissingExtraError
from scones_ml.inference.graph import check_graph
from scones_ml.printable import printable

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["open_session"]

_MOST_MEMORY: Final = 2_000_000_000  # bytes that the models of a process may take while they answer


def open_session(graph: bytes, name: str, remedy: str) -> onnxruntime.InferenceSession:
    """A session of one thread for a graph.

    Args:
        graph: the bytes of an ONNX file.
        name: what messages call it.
        remedy: what to do when it cannot be loaded; ends the message.

    Raises:
        ConfigurationError: the graph holds what a classifier does not need, or ONNX Runtime cannot load it.
        MissingExtraError: ONNX Runtime is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # newer ones report to Microsoft, by way of ~/.cache
    try:
        import onnxruntime
    except ModuleNotFoundError as exc:
        raise MissingExtraError("onnxruntime", "onnx") from exc
    try:
        folds = check_graph(graph)
    except ValueError as exc:
        raise ConfigurationError(f"{name} {exc}; {remedy}") from exc
    _limit_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one small image at a time: more threads only cost
    options.log_severity_level = 4  # what fails is raised
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(
            graph,
            options,
            providers=["CPUExecutionProvider"],
            # It computes while the graph is loaded, for as long as the graph likes.
            disabled_optimizers=[] if folds else ["ConstantFolding"],
        )
    except Exception as exc:  # ONNX Runtime's own classes have no common base
        reason = printable(str(exc).splitlines()[0])
        raise ConfigurationError(f"{name} cannot be loaded: {reason}; {remedy}") from exc


@cache
def _limit_memory() -> None:
    """Bound what graphs allocate: a few bytes of one can ask for any number of gigabytes."""
    import onnxruntime as ort

    cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    with contextlib.suppress(Exception):  # whoever shares the process has set a bound of their own
        ort.create_and_register_allocator(cpu, ort.OrtArenaCfg({"max_mem": _MOST_MEMORY}))
