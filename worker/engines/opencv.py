"""OpenCV's DNN module: a Caffe network (prototxt and caffemodel) or an .onnx file -> an engine for uint8 images.

Most Caffe models take BGR pixels minus a mean, not scaled. OpenCV 5 does not read Caffe models any more; 4.14 does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import caffe_pair, format_of
from worker.artifacts.source import ModelSource
from worker.engines.adapter import EngineAdapter, Forward, first_line
from worker.engines.device import pick
from worker.engines.model_io.input_plan import (
    CAFFE,
    Images,
    feed,
    layout_of,
    plan,
    scaling_of,
    spec_of,
    usual_scaling,
)
from worker.errors import ModelError
from worker.system.cpu import usable_cores

_EDGE = 224
_UNFED = "inp.total()"
"""OpenCV's words for an input that was not set; it does not say which inputs a model has."""

_ONE_INPUT = "OpenCV feeds one input only: --engine onnx or openvino give zeros to the others, for an .onnx file."


def load(source: ModelSource) -> EngineAdapter:
    """Load the Caffe model or the .onnx file of `source`; raises ModelError with the cause and the cure."""
    path = source.path
    if path is None or format_of(path) not in ("caffe", "onnx"):
        raise ModelError(f"OpenCV reads .caffemodel and .onnx files here, not {path or source.graph}.")
    pick(source.device, seen=0, framework="OpenCV as packaged")
    cv2.setNumThreads(usable_cores())
    caffe = format_of(path) == "caffe"
    requested = source.preprocess
    height, width = (_size_in(caffe_pair(path)[0]) if caffe else None) or requested.size or (_EDGE, _EDGE)
    net = _read(path)
    # OpenCV does not show the batch size of an .onnx file; `load` finds out which sizes work.
    shape = [None, height, width, 3] if requested.layout == "nhwc" else [None, 3, height, width]
    layout = layout_of(shape, usual="nchw", requested=requested.layout)
    usual = CAFFE if caffe else usual_scaling(layout)
    scaling = scaling_of(requested, own=None, usual=usual, whole=False)
    prepared = plan(layout, requested, scaling=scaling, channels="bgr" if caffe else "rgb")
    _check_input(net, source.input_layer)
    try:
        return EngineAdapter(
            _forward(net, feed(prepared, np.float32), source.output_layer),
            spec_of(prepared, requested),
            name="opencv",
            platform="caffe" if caffe else "onnx_onnxv1",
        )
    except ModelError as error:
        if _UNFED not in str(error):
            raise
        raise ModelError(f"The model in {path} has inputs beside that of the image. {_ONE_INPUT}") from error


def _read(path: Path) -> Any:
    try:
        if format_of(path) == "onnx":
            return cv2.dnn.readNetFromONNX(str(path))
        return cv2.dnn.readNetFromCaffe(*(str(half) for half in caffe_pair(path)))
    except (cv2.error, AttributeError) as error:
        raise ModelError(f"{path} cannot be loaded by OpenCV {cv2.__version__}: {first_line(error)}") from error


def _check_input(net: Any, name: str | None) -> None:
    """Raise ModelError if the network has no input called `name`, with or without `:0`."""
    if name is not None and net.getLayer(0).outputNameToIndex(name.removesuffix(":0")) < 0:
        raise ModelError(f"The model has no input {name}, and OpenCV does not tell which it has: check --input-layer.")


def _size_in(prototxt: Path) -> tuple[int, int] | None:
    """Height and width in the first shape of a prototxt, which is that of its input; None if it contains no shape."""
    try:
        numbers = re.findall(r"\b(?:input_)?dim\s*:\s*(\d+)", prototxt.read_text("utf-8"))[:4]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{prototxt} cannot be read ({error}).") from error
    return (int(numbers[2]), int(numbers[3])) if len(numbers) == 4 else None


def _forward(net: Any, fill: Any, output_layer: str | None) -> Forward:
    def forward(images: Images) -> NDArray[Any]:
        net.setInput(fill(images))
        scores: NDArray[Any] = net.forward(output_layer) if output_layer else net.forward()
        return scores.copy()  # the next call overwrites it

    return forward
