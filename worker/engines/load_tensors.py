"""A model of tensors on disk -> the engine that serves it: its format says which."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from worker.artifacts.formats import Format
from worker.artifacts.source import ModelSource
from worker.engines.adapter import first_line
from worker.engines.frameworks import framework
from worker.engines.tensors import TensorEngine
from worker.errors import ModelError
from worker.system.memory import freeze_heap

_ENGINES: Mapping[Format, tuple[str, str]] = MappingProxyType(
    {
        "keras": ("tensorflow", "worker.engines.tensorflow.tensors"),
        "onnx": ("onnx", "worker.engines.onnx.tensors"),
        "openvino": ("openvino", "worker.engines.openvino.tensors"),
        "savedmodel": ("tensorflow", "worker.engines.tensorflow.tensors"),
        "torchexport": ("torch", "worker.engines.torch.tensors"),
        "torchscript": ("torch", "worker.engines.torch.tensors"),
        "tflite": ("openvino", "worker.engines.openvino.tensors"),
    }
)
"""The engine, and the module whose `load(source)` loads tensors with it, by format."""


def load_tensors(source: ModelSource, model_format: Format) -> TensorEngine:
    """Load the model of `source`, whose `path` must be set. Raises ModelError with the cause and the cure."""
    name, module = _ENGINES[model_format]
    if source.engine not in ("auto", name):
        raise ModelError(f"A model of tensors in {source.path} is served by --engine {name}, not {source.engine}.")
    if source.precision == "auto":
        raise ModelError(f"--precision auto compares best labels, and the model of tensors in {source.path} has none.")
    if not framework(name).installed:
        raise ModelError(f"The engine {name} is {framework(name).missing}.")
    loader = import_module(module)
    freeze_heap()
    try:
        engine: TensorEngine = loader.load(source)
    except ModelError:
        raise
    except Exception as error:  # the readers of a framework may raise anything
        raise ModelError(f"{source.path} cannot be loaded by the engine {name}: {first_line(error)}") from error
    return engine
