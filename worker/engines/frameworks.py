"""The engines that exist: the formats that each reads, the package that it needs, and the module that loads with it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from worker.artifacts.formats import Format, Precision
from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.errors import ModelError
from worker.system.memory import freeze_heap


@dataclass(frozen=True)
class Framework:
    """One engine.

    name:    as `--engine` takes it
    module:  its `load(source)` loads a model with this engine
    package: what is imported; distribution: what is installed; extra: ours that installs it
    reads:   the formats that it reads itself
    converted: the name of the file that TensorFlow's models are converted to for this engine; None if they are not.
        TensorFlow itself has such a file, which loads quickly.
    precisions: the number formats that it can compute in
    """

    name: str
    module: str
    package: str
    distribution: str
    extra: str
    reads: frozenset[Format]
    converted: str | None = None
    precisions: frozenset[Precision] = frozenset({"f32"})

    @property
    def installed(self) -> bool:
        """Whether its package is installed; nothing is imported."""
        return importlib.util.find_spec(self.package) is not None

    @property
    def version(self) -> str | None:
        """The installed version; None if it is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    @property
    def missing(self) -> str:
        """What to do if it is not installed."""
        return f"not installed: pip install 'p2p-serving[{self.extra}]'"

    def load(self, source: ModelSource) -> Engine:
        """Import the framework and load the model; its outputs may be logits. Raises ModelError."""
        if not self.installed:
            raise ModelError(f"The engine {self.name} is {self.missing}.")
        if source.precision not in self.precisions:
            raise ModelError(f"The engine {self.name} computes in {' and '.join(sorted(self.precisions))} only.")
        module = import_module(self.module)
        freeze_heap()
        engine: Engine = module.load(source)
        return engine


_IN_ORDER = (
    Framework(
        "tensorflow",
        "worker.engines.tensorflow.engine",
        "tensorflow",
        "tensorflow",
        "worker",
        frozenset({"savedmodel", "keras", "graph"}),
        converted="model.session",
    ),
    Framework(
        "onnx",
        "worker.engines.onnx.engine",
        "onnxruntime",
        "onnxruntime",
        "onnx",
        frozenset({"onnx"}),
        converted="model.onnx",
    ),
    Framework(
        "torch",
        "worker.engines.torch.engine",
        "torch",
        "torch",
        "torch",
        frozenset({"torchscript", "torchexport"}),
        precisions=frozenset({"f32", "bf16"}),
    ),
    Framework(
        "openvino",
        "worker.engines.openvino.engine",
        "openvino",
        "openvino",
        "openvino",
        frozenset({"savedmodel", "graph", "onnx", "openvino", "tflite"}),
        converted="model.pb",
        precisions=frozenset({"f32", "bf16"}),
    ),
    Framework(
        "opencv", "worker.engines.opencv", "cv2", "opencv-python-headless", "opencv", frozenset({"caffe", "onnx"})
    ),
)

FRAMEWORKS: Mapping[str, Framework] = MappingProxyType({framework.name: framework for framework in _IN_ORDER})
"""By name. Of the engines that read a format, the first that is installed is the reference for the others."""


def framework(name: str) -> Framework:
    """The engine called `name`; ModelError, with the names that exist, if there is none."""
    if name not in FRAMEWORKS:
        raise ModelError(f"There is no engine {name!r}: --engine takes auto, echo, {', '.join(FRAMEWORKS)}.")
    return FRAMEWORKS[name]


def readers(model_format: Format) -> list[Framework]:
    """The engines that read a format themselves, the reference first."""
    return [framework for framework in _IN_ORDER if model_format in framework.reads]


def supporting(model_format: Format) -> list[Framework]:
    """The engines that read a format themselves, then those that take it when TensorFlow has converted it."""
    convertible = model_format in FRAMEWORKS["tensorflow"].reads and FRAMEWORKS["tensorflow"].installed
    others = [one for one in _IN_ORDER if convertible and one.converted]
    return list(dict.fromkeys([*readers(model_format), *others]))


def reference(model_format: Format) -> Framework:
    """The engine whose answers count for a format; ModelError, with what to install, if there is none."""
    candidates = readers(model_format)
    found = next((framework for framework in candidates if framework.installed), None)
    if found is None:
        extras = " or ".join(f"'p2p-serving[{framework.extra}]'" for framework in candidates)
        raise ModelError(
            f"Nothing that is installed here runs a model of the kind {model_format}: pip install {extras}."
        )
    return found
