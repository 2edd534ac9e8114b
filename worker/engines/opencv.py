"""OpenCV's DNN module: a Caffe network (prototxt and caffemodel) or an .onnx file -> an engine for uint8 images.

Caffe's usual models take BGR less a mean and are not scaled. OpenCV 5 reads no Caffe any more: 4.14 does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import caffe_pair, kind_of
from worker.artifacts.source import ModelSource
from worker.engines.adapter import Run, Runner, first_line
from worker.engines.device import pick
from worker.engines.input_plan import (
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


def load(source: ModelSource) -> Runner:
    """Load the Caffe model or the .onnx file of `source`; raises ModelError with the cause and the cure."""
    path = source.path
    if path is None or kind_of(path) not in ("caffe", "onnx"):
        raise ModelError(f"OpenCV reads .caffemodel and .onnx files here, not {path or source.graph}.")
    pick(source.device, seen=0, framework="OpenCV as packaged")
    cv2.setNumThreads(usable_cores())
    caffe = kind_of(path) == "caffe"
    said = source.preprocess
    height, width = (_size_in(caffe_pair(path)[0]) if caffe else None) or said.size or (_EDGE, _EDGE)
    net = _read(path)
    # An .onnx file's batch is not to be seen here; `loading` finds out what the network bears.
    shape = [None, height, width, 3] if said.layout == "nhwc" else [None, 3, height, width]
    layout = layout_of(shape, usual="nchw", said=said.layout)
    usual = CAFFE if caffe else usual_scaling(layout)
    prepared = plan(
        layout, said, scaling=scaling_of(said, own=None, usual=usual, whole=False), channels="bgr" if caffe else "rgb"
    )
    return Runner(
        _running(net, feed(prepared, np.float32), source.output_layer),
        spec_of(prepared, said),
        name="opencv",
        platform="caffe" if caffe else "onnx_onnxv1",
    )


def _read(path: Path) -> Any:
    try:
        if kind_of(path) == "onnx":
            return cv2.dnn.readNetFromONNX(str(path))
        return cv2.dnn.readNetFromCaffe(*(str(half) for half in caffe_pair(path)))
    except (cv2.error, AttributeError) as error:
        raise ModelError(f"{path} cannot be loaded by OpenCV {cv2.__version__}: {first_line(error)}") from error


def _size_in(prototxt: Path) -> tuple[int, int] | None:
    """Height and width in the first shape that a prototxt names, which is its input's; None if it names none."""
    try:
        numbers = re.findall(r"\b(?:input_)?dim\s*:\s*(\d+)", prototxt.read_text("utf-8"))[:4]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{prototxt} cannot be read ({error}).") from error
    return (int(numbers[2]), int(numbers[3])) if len(numbers) == 4 else None


def _running(net: Any, fill: Any, output_layer: str | None) -> Run:
    def run(images: Images) -> NDArray[Any]:
        net.setInput(fill(images))
        scores: NDArray[Any] = net.forward(output_layer) if output_layer else net.forward()
        return scores.copy()  # the next call writes over it

    return run
