"""One small network, a dense layer over all pixels and a softmax, in the file formats of several frameworks.

Every pixel of every channel has a weight of its own, so that a picture that is turned, shifted, of the wrong
channel order or scale gives other probabilities. `answers` says in numpy what all of the files must say.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGE = 12
CLASSES = 4
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def weights() -> NDArray[np.float32]:
    """Of each class and each value of a picture, [classes, 3, height, width]."""
    return np.random.default_rng(3).normal(0, 0.05, (CLASSES, 3, EDGE, EDGE)).astype(np.float32)


def answers(pictures: Sequence[NDArray[np.uint8]], mean: Any = 0.0, std: Any = 1.0) -> NDArray[np.float32]:
    """Probabilities [n, classes] for pictures [height, width, 3], their values less `mean` over `std`."""
    values = (np.stack(pictures).astype(np.float64) - np.array(mean)) / np.array(std)
    scores = np.einsum("nhwc,kchw->nk", values, weights())
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def write_onnx(
    path: Path,
    *,
    order: str = "nchw",
    dtype: str = "float32",
    batch: int | None = None,
    scaled: tuple[float, float] | None = None,
    logits: bool = False,
    metadata: dict[str, str] | None = None,
    endless: bool = False,
) -> Path:
    """Write an .onnx file, as ONNX's own helpers make them; gives `path` back.

    scaled: the model itself takes mean and std of its input; metadata: properties of the file
    endless: its last step is a loop that never ends
    """
    from onnx import TensorProto, helper, numpy_helper, save

    types = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
    shape = [batch or "n", EDGE, EDGE, 3] if order == "nhwc" else [batch or "n", 3, EDGE, EDGE]
    nodes, last = [], "pixels"
    constants = {
        "weights": weights(),
        "mean": np.float32((scaled or (0, 1))[0]),
        "std": np.float32((scaled or (0, 1))[1]),
    }
    if endless:
        constants["true"] = np.bool_(True)

    def then(kind: str, *others: str, **options: Any) -> None:
        nonlocal last
        nodes.append(helper.make_node(kind, [last, *others], [f"after_{len(nodes)}"], **options))
        last = f"after_{len(nodes) - 1}"

    if dtype != "float32":
        then("Cast", to=TensorProto.FLOAT)
    if order == "nhwc":
        then("Transpose", perm=[0, 3, 1, 2])
    if scaled:
        then("Sub", "mean")
        then("Div", "std")
    then("Conv", "weights")
    then("Flatten")
    if not logits:
        then("Softmax", axis=1)
    if endless:
        nodes.append(_endless_loop(last))
        last = "never"
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("pixels", types[dtype], shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [batch or "n", CLASSES])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    save(model, str(path))
    return path


def _endless_loop(scores: str) -> Any:
    """A step that hands the scores on to itself for ever, and would give `never`."""
    from onnx import TensorProto, helper

    def value(name: str, dtype: int, shape: list[str | int]) -> Any:
        return helper.make_tensor_value_info(name, dtype, shape)

    again, values = value("again", TensorProto.BOOL, []), ["n", CLASSES]
    body = helper.make_graph(
        [helper.make_node("Identity", ["again"], ["on"]), helper.make_node("Identity", ["before"], ["after"])],
        "body",
        [value("round", TensorProto.INT64, []), again, value("before", TensorProto.FLOAT, values)],
        [value("on", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, values)],
    )
    return helper.make_node("Loop", ["", "true", scores], ["never"], body=body)


def write_caffe(folder: Path, *, name: str = "net") -> Path:
    """Write NAME.prototxt and NAME.caffemodel; gives the latter's path."""
    (folder / f"{name}.prototxt").write_text(
        f"""name: "dense"
input: "data"
input_dim: 10 input_dim: 3 input_dim: {EDGE} input_dim: {EDGE}
layer {{ name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param {{ num_output: {CLASSES} bias_term: false }} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc" top: "prob" }}
"""
    )
    values = weights().reshape(CLASSES, -1)
    # caffe.proto: NetParameter.layer 100, LayerParameter.name 1, type 2, blobs 7, BlobProto.shape 7, data 5
    shape = _field(7, _field(1, b"".join(_varint(length) for length in values.shape)))
    blob = _field(7, shape + _field(5, struct.pack(f"<{values.size}f", *values.ravel())))
    layer = _field(100, _field(1, b"fc") + _field(2, b"InnerProduct") + blob)
    (folder / f"{name}.caffemodel").write_bytes(_field(1, b"dense") + layer)
    return folder / f"{name}.caffemodel"


def write_torch(path: Path, *, logits: bool = False) -> Path:
    """Write a TorchScript file, or for the suffix .pt2 one of torch.export; gives `path` back."""
    import warnings

    import torch

    linear = torch.nn.Linear(3 * EDGE * EDGE, CLASSES, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weights().reshape(CLASSES, -1)))
    layers = [torch.nn.Flatten(), linear] + ([] if logits else [torch.nn.Softmax(dim=1)])
    network = torch.nn.Sequential(*layers).eval()
    example = (torch.zeros(2, 3, EDGE, EDGE),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, whose files people have
        if path.suffix == ".pt2":
            number = torch.export.Dim("n")
            torch.export.save(torch.export.export(network, example, dynamic_shapes=({0: number},)), str(path))
        else:
            torch.jit.trace(network, example).save(str(path))
    return path


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes: its key, its length, itself."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])
