"""The engines that there are: what each reads, what it is installed as, and the module that loads with it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from worker.engines import Engine
from worker.errors import ModelError
from worker.kinds import Kind
from worker.source import ModelSource


@dataclass(frozen=True)
class Framework:
    """One engine.

    name:    as `--engine` takes it, and the name of its module in `worker.engines`
    package: what is imported; distribution: what is installed; extra: of ours, that installs it
    reads:   the kinds of models that it reads itself
    converted: the form in which it takes what TensorFlow has loaded, by the file's name; None if in none
    """

    name: str
    package: str
    distribution: str
    extra: str
    reads: frozenset[Kind]
    converted: str | None = None

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
        engine: Engine = import_module(f"worker.engines.{self.name}").load(source)
        return engine


_IN_ORDER = (
    Framework(
        "tensorflow", "tensorflow", "tensorflow", "worker", frozenset({"savedmodel", "keras", "graph"})
    ),
    Framework("onnx", "onnxruntime", "onnxruntime", "onnx", frozenset({"onnx"}), converted="model.onnx"),
    Framework("torch", "torch", "torch", "torch", frozenset({"torchscript", "torchexport"})),
    Framework(
        "openvino",
        "openvino",
        "openvino",
        "openvino",
        frozenset({"savedmodel", "graph", "onnx", "openvino", "tflite"}),
        converted="model.pb",
    ),
    Framework("opencv", "cv2", "opencv-python-headless", "opencv", frozenset({"caffe", "onnx"})),
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


def reference(kind: Kind) -> Framework:
    """The engine whose answers count for a kind of model; ModelError, with what to install, if there is none."""
    able = readers(kind)
    found = next((framework for framework in able if framework.installed), None)
    if found is None:
        extras = " or ".join(f"'p2p-serving[{framework.extra}]'" for framework in able)
        raise ModelError(f"Nothing that is installed here runs a model of the kind {kind}: pip install {extras}.")
    return found
