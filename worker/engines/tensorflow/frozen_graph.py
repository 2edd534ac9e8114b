"""A frozen graph, as the article's retrain.py writes it, and the names of two of its tensors -> a `Program`.

Our images replace the tensor that is named as the input, so the graph's own placeholder, its fixed batch of one and its
JPEG decoder are not used: a graph that starts with `DecodeJpeg/contents` is entered after the decoder, and then takes
every kind of image that `worker.images.decode` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it publishes no types
from numpy.typing import NDArray

from worker.engines.model_io.input_plan import SLIM, UNIT, Scaling
from worker.engines.model_io.layer_names import zeros_for
from worker.engines.tensorflow.program import Program, Tensor
from worker.errors import ModelError

_DECODERS = ("DecodeJpeg", "DecodePng", "DecodeImage", "DecodeBmp", "DecodeAndCropJpeg")
_MOST_NAMES = 20  # in an error's list of layers

# The scaling that retrain.py used, by the name of its input; slim's MobileNet and Inception: `SLIM`.
_BY_NAME: Mapping[str, Scaling] = MappingProxyType({"Mul": ((128.0,), (128.0,)), "Placeholder": UNIT})
_OLD_NORM = "BatchNormWithGlobalNormalization"  # removed in GraphDef version 9
_INCEPTION_EDGE = 299  # after `Mul`, if the graph does not contain it


def from_graph(path: Path, *, input_layer: str | None, output_layer: str | None) -> Program:
    """Read a GraphDef and use its part from `input_layer` to `output_layer`; names with or without `:0`.

    Without names: retrain.py's `DecodeJpeg/contents` and `final_result`, else the only placeholder and the
    only softmax. Raises ModelError for anything else, with the names that exist.
    """
    definition = _modernized(_read(path))
    graph = tf.Graph()
    with graph.as_default():
        try:
            tf.graph_util.import_graph_def(definition, name="")
        except ValueError as error:
            raise ModelError(f"{path} cannot be loaded by this TensorFlow: {error}") from error
    entry = _behind_decoder(_tensor(graph, input_layer, "--input-layer", _inputs(graph), "DecodeJpeg/contents"))
    exit_ = _tensor(graph, output_layer, "--output-layer", _outputs(graph), "final_result")
    needed = _needed_for(exit_, entry)
    if entry.name not in needed:
        raise ModelError(f"The output {exit_.name} does not depend on the input {entry.name}: name a later one.")
    spec = tf.TensorSpec(_shape(entry), entry.dtype, name="images")
    others = [tensor for tensor in needed.values() if tensor.op.type == "Placeholder" and tensor.name != entry.name]
    call = _cut(definition, entry.name, exit_.name, spec, zeros={tensor.name: _zeros(tensor) for tensor in others})
    return Program(call, spec, "tensorflow_graphdef", _scaling(entry))


def _read(path: Path) -> Any:
    if path.name == "saved_model.pb":
        raise ModelError(f"{path} is part of a SavedModel, not a frozen graph: use --model {path.parent}.")
    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path} is not a frozen graph that can be read ({error}); check --graph.") from error
    variables = sorted({node.op for node in definition.node if node.op in ("Variable", "VariableV2", "VarHandleOp")})
    if variables or not definition.node:
        what = "still has variables" if variables else "is empty"
        raise ModelError(f"The graph in {path} {what}: freeze it first, as retrain.py does.")
    return definition


def _zeros(placeholder: Any) -> NDArray[Any]:
    if placeholder.shape.rank is None:
        raise ModelError(f"The graph's other input {placeholder.op.name} has no known shape, so it cannot get zeros.")
    return zeros_for(placeholder.op.name, list(placeholder.shape), placeholder.dtype.as_numpy_dtype)


def _cut(definition: Any, entry: str, exit_: str, spec: Any, *, zeros: Mapping[str, NDArray[Any]]) -> Any:
    """The part of the graph between two tensors, as a function; `zeros` are the values of other tensors."""

    def enter(images: Tensor) -> Tensor:
        values = {name: tf.constant(value) for name, value in zeros.items()} | {entry: images}
        (scores,) = tf.graph_util.import_graph_def(definition, input_map=values, return_elements=[exit_], name="")
        return scores

    whole = tf.compat.v1.wrap_function(enter, [spec])
    return whole.prune(whole.inputs, whole.outputs[0])


def _tensor(graph: Any, name: str | None, flag: str, likely: list[str], usual: str) -> Any:
    """The tensor called `name`; without a name the usual one, else the only likely one."""
    every = [op.name for op in graph.get_operations() if op.outputs]
    if name is None:
        found = usual if usual in every else likely[0] if len(likely) == 1 else None
        if found is None:
            raise ModelError(f"{flag} is needed for this graph; likely names: {_listed(likely)}.")
        name = found
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError) as error:
        others = [other for other in every if other not in likely]
        raise ModelError(f"The graph has no layer {name!r} for {flag}; it has {_listed(likely + others)}.") from error


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return (", ".join(names[:_MOST_NAMES]) or "none") + (f" and {more} more" if more > 0 else "")


def _inputs(graph: Any) -> list[str]:
    return [op.name for op in graph.get_operations() if op.type == "Placeholder"]


def _outputs(graph: Any) -> list[str]:
    """Softmaxes if there are any, else operations whose outputs no other operation uses."""
    ends = [op for op in graph.get_operations() if op.outputs and not any(t.consumers() for t in op.outputs)]
    softmaxes = [op.name for op in graph.get_operations() if op.type == "Softmax"]
    return softmaxes or [op.name for op in ends if op.type not in ("Placeholder", "Const")]


def _behind_decoder(tensor: Any) -> Any:
    """The output of the graph's own decoder, if `tensor` holds encoded bytes and a decoder is its only consumer."""
    consumers = tensor.consumers()
    if tensor.dtype == tf.string and len(consumers) == 1 and consumers[0].type in _DECODERS:
        return consumers[0].outputs[0]
    return tensor


def _needed_for(exit_: Any, entry: Any) -> dict[str, Any]:
    """The tensors by name that `exit_` is computed from; of `entry` itself, if it is one, nothing that comes before."""
    needed: dict[str, Any] = {}
    waiting = [exit_]
    while waiting:
        tensor = waiting.pop()
        if tensor.name not in needed:
            needed[tensor.name] = tensor
            waiting.extend(() if tensor.name == entry.name else tensor.op.inputs)
    return needed


def _shape(tensor: Any) -> Any:
    """The shape to feed a tensor with: any number of images; of any size if the tensor is a decoder's output."""
    if tensor.dtype == tf.string:
        return tensor.shape
    if tensor.shape.rank is None:
        raise ModelError(f"The layer {tensor.name} has no known shape: name one of [n, height, width, 3].")
    if tensor.shape.rank != 4:
        return tensor.shape
    edge = _INCEPTION_EDGE if tensor.op.name == "Mul" else None
    return [None, *(size or edge for size in tensor.shape[1:3]), tensor.shape[3]]


def _scaling(entry: Any) -> Scaling:
    return _BY_NAME.get(entry.op.name, SLIM)


def _modernized(definition: Any) -> Any:
    """The GraphDef with FusedBatchNorm, which computes the same, for a normalization that TensorFlow has removed.

    The Inception graph that the article's retrain.py downloads (December 2015, GraphDef version 8) uses it. TensorFlow
    still runs it in a session, but in no function.
    """
    result = tf.compat.v1.GraphDef()
    result.CopyFrom(definition)
    for node in [node for node in result.node if node.op == _OLD_NORM]:
        _replace_norm(result, node)
    return result


def _replace_norm(graph: Any, node: Any) -> None:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, where `gamma` may be switched off."""
    x, mean, variance, beta, gamma = node.input
    epsilon = node.attr["variance_epsilon"].f
    if not node.attr["scale_after_normalization"].b:
        ones = graph.node.add(name=f"{node.name}/ones", op="OnesLike", input=[gamma])
        ones.attr["T"].type = tf.float32.as_datatype_enum
        gamma = ones.name
    node.op = "FusedBatchNorm"
    node.input[:] = [x, gamma, beta, mean, variance]
    del node.attr["variance_epsilon"], node.attr["scale_after_normalization"]
    node.attr["epsilon"].f = epsilon
    node.attr["is_training"].b = False
