"""The engines that there are: what each reads, what it is installed as, and the module that loads with it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from worker.artifacts.formats import Kind
from worker.artifacts.source import ModelSource, Precision
from worker.engines.base import Engine
from worker.engines.selection.report import Row
from worker.errors import ModelError
from worker.system.memory import settle


@dataclass(frozen=True)
class Framework:
    """One engine.

    name:    as `--engine` takes it
    module:  loads a model with it: `load(source)`
    package: what is imported; distribution: what is installed; extra: of ours, that installs it
    reads:   the kinds of models that it reads itself
    converted: the form in which it takes what TensorFlow has loaded, by the file's name; None if in none.
        TensorFlow itself has one that it loads in a moment.
    precisions: what it can compute in
    """

    name: str
    module: str
    package: str
    distribution: str
    extra: str
    reads: frozenset[Kind]
    converted: str | None = None
    precisions: frozenset[Precision] = frozenset({"f32"})

    @property
    def installed(self) -> bool:
        """Whether its package is there; nothing is imported."""
        return importlib.util.find_spec(self.package) is not None

    @property
    def version(self) -> str | None:
        """The version that is installed, if any."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    @property
    def missing(self) -> str:
        """What to do where it is not installed."""
        return f"not installed: pip install 'p2p-serving[{self.extra}]'"

    def load(self, source: ModelSource) -> Engine:
        """Import the framework and load the model with it, its outputs as they come. Raises ModelError."""
        if not self.installed:
            raise ModelError(f"The engine {self.name} is {self.missing}.")
        if source.precision not in self.precisions:
            raise ModelError(f"The engine {self.name} computes in {' and '.join(self.precisions)} only.")
        module = import_module(self.module)
        settle()
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
    Framework("torch", "worker.engines.torch", "torch", "torch", "torch", frozenset({"torchscript", "torchexport"})),
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
"""By name. Of those that read a kind of model, the first that is installed is the reference for the others."""


def framework(name: str) -> Framework:
    """The engine called `name`; ModelError, with the names that exist, if there is none."""
    if name not in FRAMEWORKS:
        raise ModelError(f"There is no engine {name!r}: --engine takes auto, echo, {', '.join(FRAMEWORKS)}.")
    return FRAMEWORKS[name]


def readers(kind: Kind) -> list[Framework]:
    """The engines that read a kind of model themselves, the reference first."""
    return [framework for framework in _IN_ORDER if kind in framework.reads]


def able(kind: Kind) -> list[Framework]:
    """The engines that read a kind of model themselves, then those that take it when TensorFlow has converted it."""
    convertible = kind in FRAMEWORKS["tensorflow"].reads and FRAMEWORKS["tensorflow"].installed
    others = [one for one in _IN_ORDER if convertible and one.converted]
    return list(dict.fromkeys([*readers(kind), *others]))


def absent(kind: Kind) -> list[Row]:
    """A row for each engine that could run a model if it were installed."""
    return [Row(one.name, left_out=one.missing) for one in able(kind) if not one.installed]


def reference(kind: Kind) -> Framework:
    """The engine whose answers count for a kind of model; ModelError, with what to install, if there is none."""
    able = readers(kind)
    found = next((framework for framework in able if framework.installed), None)
    if found is None:
        extras = " or ".join(f"'p2p-serving[{framework.extra}]'" for framework in able)
        raise ModelError(f"Nothing that is installed here runs a model of the kind {kind}: pip install {extras}.")
    return found
