"""Models whose inputs and outputs are whole numbers that stand for real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worker.artifacts.source import ModelSource
from worker.inference.model import load

openvino = pytest.importorskip("worker.engines.openvino.runtime").openvino
ops = openvino.opset8

EDGE = 8


def write_quantized(path: Path, kind: str, *, low: float, high: float) -> Path:
    """A model as OpenVINO reads one from TFLite: its input's numbers stand for `low`..`high`, its probabilities are
    numbers of steps of 1/256, and it finds the brightest of red, green and blue. Gives `path` back."""
    number = openvino.Type.i8 if kind == "int8" else openvino.Type.u8
    least = -128.0 if kind == "int8" else 0.0

    def constant(value: float) -> object:
        return ops.constant(np.float32(value))

    entry = ops.parameter([-1, EDGE, EDGE, 3], number, name="images")
    real = ops.fake_quantize(
        ops.convert(entry, "f32"), *map(constant, (least, least + 255, low, high)), levels=256, auto_broadcast="numpy"
    )
    unit = ops.divide(ops.subtract(real, constant(low)), constant(high - low))
    means = ops.reduce_mean(unit, ops.constant(np.array([1, 2])), keep_dims=False)
    shares = ops.softmax(ops.multiply(means, constant(8.0)), axis=1)
    steps = ops.fake_quantize(
        shares, *map(constant, (0.0, 255 / 256, least, least + 255)), levels=256, auto_broadcast="numpy"
    )
    exit_ = ops.convert(steps, "i8" if kind == "int8" else "u8")
    openvino.save_model(openvino.Model([exit_], [entry], "quantized"), path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("kind", ["int8", "uint8"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
def test_whole_numbers_stand_for_real_ones(tmp_path: Path, kind: str, low: float, high: float) -> None:
    """Signed and unsigned inputs, whatever range they stand for, get the same image; outputs become probabilities."""
    path = write_quantized(tmp_path / "model.xml", kind, low=low, high=high)
    model = load(ModelSource(path=path, engine="openvino"), name="m")
    images = [np.full((EDGE, EDGE, 3), colour, np.uint8) for colour in ((140, 255, 130), (130, 120, 125))]
    values = np.stack([np.exp(8.0 * image[0, 0] / 255) for image in images])
    assert np.allclose(model.predict(images), values / values.sum(axis=1, keepdims=True), atol=0.02)
    model.close()
