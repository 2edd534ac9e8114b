"""TensorFlow Serving's REST documents: request bodies -> images, a model's versions -> status and metadata.

The names are those of TensorFlow Serving's api_rest.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from worker.artifacts.version_plan import State, VersionStatus
from worker.batching.queue import Image
from worker.errors import BadRequest
from worker.inference.load_model import AnyModel
from worker.inference.model import Model
from worker.protocols.base64_text import decode_base64
from worker.protocols.common import Images, check_count, of_one_kind
from worker.protocols.pixel_tensors import fitting, whole_pixels
from worker.web.json_schema import Shown, read
from worker.web.large_json import parse_json

INPUT = "image"
OUTPUT = "probabilities"
SIGNATURES = ("serving_default", "classify")

Pixels = Annotated[list[list[list[float]]], "[height, width, 3], whole numbers from 0 to 255, RGB"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image file."""

    b64: Annotated[str, "The file's bytes in base64, standard or web-safe."]


@dataclass(frozen=True, slots=True)
class Named:
    """An image under the name of the model's one input."""

    image: Encoded | Pixels


@dataclass(frozen=True, slots=True)
class Columns:
    """The model's one input by its name, for all images."""

    image: list[Encoded] | list[Pixels]


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """Images, or what the model takes instead, by rows (`instances`) or by columns (`inputs`), one of the two."""

    signature_name: str | None = None
    instances: Annotated[Any, Shown(list[Encoded | Named | Pixels])] = None
    inputs: Annotated[Any, Shown(list[Encoded] | list[Pixels] | Columns)] = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """To `instances`: the probability of each class, for each image; of tensors each row's outputs."""

    predictions: list[Any]


@dataclass(frozen=True, slots=True)
class Outputs:
    """To `inputs`: the same under another name."""

    outputs: Annotated[Any, Shown(list[Any] | dict[str, Any])]


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """Images as examples; what `context` holds belongs to each of them."""

    examples: Annotated[Any, Shown(list[Named])]
    signature_name: str | None = None
    context: Annotated[Any, Shown(dict[str, Any])] = None


@dataclass(frozen=True, slots=True)
class Results:
    """The best labels of each image with their scores, best first."""

    results: list[list[tuple[str, float]]]


@dataclass(frozen=True, slots=True)
class LoadStatus:
    """How loading a version went."""

    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True)
class VersionState:
    """One version of a model."""

    version: str
    state: State
    status: LoadStatus


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The versions of a model, newest first."""

    model_version_status: list[VersionState]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model is described."""

    name: str
    signature_name: str
    version: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """A model's signatures: its inputs and outputs."""

    model_spec: ModelSpec
    metadata: dict[str, Any] = field(default_factory=dict)


def read_predict(body: bytes, *, model: AnyModel) -> tuple[Images, bool]:
    """The images of a predict request, and whether they came by columns. Raises BadRequest or TooLarge."""
    request = read(PredictRequest, parse_json(body, images_in=("instances", "inputs")))
    _check_signature(request.signature_name)
    if (request.instances is None) == (request.inputs is None):
        raise BadRequest("The JSON must have either 'instances' or 'inputs', and not both.")
    if request.inputs is None:
        rows = [_named(each, f"instances[{i}]") for i, each in enumerate(_listed(request.instances, "instances"))]
        return _images(rows, "instances", model), False
    columns = _named(request.inputs, "inputs")
    return _images(_listed(columns, "inputs"), "inputs", model), True


def read_classify(body: bytes, *, model: Model) -> Images:
    """The images of a classify request. Raises BadRequest or TooLarge."""
    request = read(ClassifyRequest, parse_json(body, images_in=("examples",)))
    _check_signature(request.signature_name)
    context = request.context if isinstance(request.context, dict) else {}
    examples = _listed(request.examples, "examples")
    if not all(isinstance(example, dict) for example in examples):
        raise BadRequest('Each of \'examples\' must be an object: {"image": {"b64": "..."}}.')
    rows = [_named(context | example, f"examples[{i}]") for i, example in enumerate(examples)]
    return _images(rows, "examples", model)


def status(versions: Sequence[VersionStatus]) -> ModelStatus:
    """The document about the state of a model's versions."""
    return ModelStatus(
        [VersionState(v.version, v.state, LoadStatus("INTERNAL" if v.error else "OK", v.error)) for v in versions]
    )


def metadata(model: Model) -> Metadata:
    """The signatures of a model, as TensorFlow's SignatureDef in JSON."""

    inputs = {INPUT: tensor_info(INPUT, "DT_STRING", [-1])}
    scores = {OUTPUT: tensor_info(OUTPUT, "DT_FLOAT", [-1, model.engine.classes])}
    classes = {
        "classes": tensor_info("classes", "DT_STRING", [-1, -1]),
        "scores": tensor_info("scores", "DT_FLOAT", [-1, -1]),
    }
    signatures = {
        "serving_default": {"inputs": inputs, "outputs": scores, "method_name": "tensorflow/serving/predict"},
        "classify": {"inputs": inputs, "outputs": classes, "method_name": "tensorflow/serving/classify"},
    }
    spec = ModelSpec(model.name, "", model.version)
    return Metadata(spec, {"signature_def": {"signature_def": signatures}})


def tensor_info(name: str, dtype: str, shape: Sequence[int]) -> dict[str, Any]:
    """One tensor of a signature, as TensorFlow's TensorInfo in JSON."""
    dim = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": f"{name}:0"}


def _check_signature(name: str | None) -> None:
    if name and name not in SIGNATURES:
        raise BadRequest(f"There is no signature {name[:80]!r}: leave it out, or name one of {', '.join(SIGNATURES)}.")


def _listed(value: Any, where: str) -> list[Any]:
    """The entries of a list, or of the array that a long one became; TooLarge above the limit of images."""
    if not isinstance(value, list | np.ndarray):
        raise BadRequest(f"{where!r} must be a list with an entry for each image.")
    check_count(len(value))
    return list(value)


def _named(value: Any, where: str) -> Any:
    """The value under the input's name; the value itself where it has no name."""
    if not isinstance(value, dict) or set(value) == {"b64"}:
        return value
    if set(value) != {INPUT}:
        names = ", ".join(repr(str(name)[:40]) for name in list(value)[:5])
        raise BadRequest(f"{where} has {names or 'no names'}: the model takes one input, {INPUT!r}.")
    return value[INPUT]


def _images(rows: list[Any], where: str, model: AnyModel) -> Images:
    return of_one_kind([_image(row, f"{where}[{i}]", model) for i, row in enumerate(rows)])


def _image(value: Any, where: str, model: AnyModel) -> bytes | Image:
    if isinstance(value, dict):
        return decode_base64(read(Encoded, value, where=where).b64)
    if isinstance(value, list | np.ndarray):
        image = whole_pixels(value, where=where)
        fitting(image.shape, model=model, where=where)
        return image
    raise BadRequest(f'{where} must be {{"b64": "..."}} with an image file, or its pixels as lists.')
