"""The documents of the Open Inference Protocol V2 (KServe's and Triton's REST), as dataclasses.

Names, types and optional parts are of the protocol's specification and of Triton's extensions binary_tensor_data
and classification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from worker.artifacts.version_plan import VersionStatus
from worker.engines.tensors import TensorSpec
from worker.inference.load_model import AnyModel
from worker.inference.tensor_model import TensorModel
from worker.web.json_schema import Shown
from worker.web.openapi import own_version

INPUT = "image"
OUTPUT = "probabilities"
EXTENSIONS = ("binary_tensor_data", "classification")


@dataclass(frozen=True, slots=True)
class Live:
    """The process answers."""

    live: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether the worker takes requests."""

    ready: bool


@dataclass(frozen=True, slots=True)
class ModelReady:
    """A model takes requests."""

    name: str
    ready: bool


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What answers here."""

    name: str
    version: str
    extensions: list[str]


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """An input or output; -1 in a shape is any number."""

    name: str
    datatype: str
    shape: list[int]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


@dataclass(frozen=True, slots=True)
class InputParameters:
    """How a tensor comes."""

    binary_data_size: Annotated[int | None, "It comes behind the JSON, in so many bytes, instead of `data`."] = None
    shared_memory_region: Annotated[str | None, "Not taken."] = None


@dataclass(frozen=True, slots=True)
class InputTensor:
    """Images: BYTES of shape [n] are encoded, in JSON as base64; numbers of [n, height, width, 3] are pixels.

    For a model of tensors: what its metadata say, texts of BYTES in JSON as they are.
    """

    name: str
    shape: list[int]
    datatype: str
    parameters: InputParameters = field(default_factory=InputParameters)
    data: Annotated[Any, Shown(list[Any])] = None


@dataclass(frozen=True, slots=True)
class OutputParameters:
    """How an output is wanted."""

    binary_data: bool | None = None
    classification: Annotated[int | None, "The k best as BYTES `score:index:label`, instead of all scores."] = None
    shared_memory_region: Annotated[str | None, "Not taken."] = None


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output by name."""

    name: str
    parameters: OutputParameters = field(default_factory=OutputParameters)


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """What holds for the whole request; others are passed over."""

    timeout: Annotated[int | None, "Microseconds; 0 means none."] = None
    binary_data_output: bool = False


@dataclass(frozen=True, slots=True)
class InferRequest:
    """Images for one model, in its one input; or the inputs of a model of tensors."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: RequestParameters = field(default_factory=RequestParameters)
    outputs: list[RequestedOutput] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """Scores or classes; without `data` where they follow the JSON in `parameters.binary_data_size` bytes."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """The outputs, flat, and the `id` of the request if it had one."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


def server_metadata() -> ServerMetadata:
    """The document of `/v2`."""
    return ServerMetadata("p2p-serving", own_version(), list(EXTENSIONS))


def model_metadata(model: AnyModel, versions: Sequence[VersionStatus]) -> ModelMetadata:
    """The document of a model, of which `versions` are known."""
    if isinstance(model, TensorModel):
        inputs, outputs = map(_of_specs, (model.signature.inputs, model.signature.outputs))
    else:
        inputs = [TensorMetadata(INPUT, "BYTES", [-1])]
        outputs = [TensorMetadata(OUTPUT, "FP32", [-1, model.engine.classes])]
    available = [each.version for each in versions if each.state == "AVAILABLE"]
    return ModelMetadata(model.name, available, model.engine.platform, inputs, outputs)


def _of_specs(specs: Sequence[TensorSpec] | None) -> list[TensorMetadata]:
    """Those of tensors whose names are known before a request comes."""
    return [TensorMetadata(spec.name, spec.datatype, spec.whole_shape) for spec in specs or ()]
