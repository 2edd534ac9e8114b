"""An .onnx file -> a session of ONNX Runtime, on the cores or the GPU that the flags say."""

from __future__ import annotations

from typing import Any

from worker.artifacts.source import ModelSource
from worker.engines.adapter import first_line
from worker.engines.device import pick
from worker.engines.onnx.runtime import onnxruntime
from worker.errors import ModelError
from worker.system.cpu import usable_cores

_CUDA = "CUDAExecutionProvider"
_MOST_GPUS = 16
_QUIET = 3  # ONNX Runtime's severities: 3 is errors only


def session_on_device(source: ModelSource) -> tuple[Any, int | None]:
    """The model on the device that `source` asks for, and the GPU's number, if it is one."""
    number = _gpu(source)
    session = session_of(source, threads=usable_cores(), number=number)
    if number is None or _CUDA in session.get_providers():
        return session, number
    if source.device != "auto":  # ONNX Runtime ignores a GPU that it cannot use
        raise ModelError(f"--device {source.device}: ONNX Runtime cannot use it: check CUDA and cuDNN.")
    return session, None


def session_of(source: ModelSource, *, threads: int, number: int | None) -> Any:
    """The model on GPU `number`, or on `threads` cores."""
    try:
        return onnxruntime.InferenceSession(
            str(source.path), sess_options=_options(threads), providers=_providers(number, source.gpu_memory_growth)
        )
    except Exception as error:  # its errors have no common base class
        raise ModelError(f"{source.path} cannot be loaded by ONNX Runtime: {first_line(error)}") from error


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = threads
    # Threads that spin between predictions take cores from decoding, and predict no faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _gpu(source: ModelSource) -> int | None:
    # It does not say how many GPUs there are; the session shows whether it uses this one.
    seen = _MOST_GPUS if _CUDA in onnxruntime.get_available_providers() else 0
    return pick(source.device, seen=seen, framework="ONNX Runtime")


def _providers(number: int | None, growth: bool) -> list[Any]:
    cpu = "CPUExecutionProvider"
    if number is None:
        return [cpu]
    strategy = "kSameAsRequested" if growth else "kNextPowerOfTwo"
    return [(_CUDA, {"device_id": number, "arena_extend_strategy": strategy}), cpu]
