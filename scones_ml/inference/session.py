"""ONNX Runtime sessions for untrusted graphs, with limited contents, computation and memory."""

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

_MOST_MEMORY: Final = 2_000_000_000  # bytes for all models of a process during inference


def open_session(graph: bytes, name: str, remedy: str) -> onnxruntime.InferenceSession:
    """Open a single-threaded session for a graph.

    Args:
        graph: bytes of an ONNX file.
        name: name of the graph for messages.
        remedy: what to do if it cannot be loaded; end of the message.

    Raises:
        ConfigurationError: the graph has parts that a classifier does not need, or ONNX Runtime cannot load it.
        MissingExtraError: ONNX Runtime is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # newer versions send telemetry to Microsoft, via ~/.cache
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
    options.intra_op_num_threads = 1  # more threads do not pay for one small image at a time
    options.log_severity_level = 4  # failures are raised
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(
            graph,
            options,
            providers=["CPUExecutionProvider"],
            # Constant folding could compute without limit while loading.
            disabled_optimizers=[] if folds else ["ConstantFolding"],
        )
    except Exception as exc:  # ONNX Runtime's own classes have no common base
        reason = printable(str(exc).splitlines()[0])
        raise ConfigurationError(f"{name} cannot be loaded: {reason}; {remedy}") from exc


@cache
def _limit_memory() -> None:
    """Limit the memory of graphs, since a few bytes can allocate any amount."""
    import onnxruntime as ort

    cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    with contextlib.suppress(Exception):  # another user of this process has set a limit already
        ort.create_and_register_allocator(cpu, ort.OrtArenaCfg({"max_mem": _MOST_MEMORY}))
