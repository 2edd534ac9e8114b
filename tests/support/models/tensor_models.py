"""Small models of tensors in several formats. All compute the same:

numbers [n, 3] float32, offset [n, 1] float32 -> total [n, 1] = the sum of a row's numbers + offset, doubled [n, 3]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worker.engines.tensors import Tensors

INPUTS = [("numbers", "FP32", (3,)), ("offset", "FP32", (1,))]
OUTPUTS = [("total", "FP32", (1,)), ("doubled", "FP32", (3,))]


def rows(count: int) -> Tensors:
    """The numbers 0, 1, 2, then 3, 4, 5 and so on; each row's offset is its number."""
    numbers = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    return Tensors({"numbers": numbers, "offset": np.arange(count, dtype=np.float32)[:, np.newaxis]})


def totals(count: int) -> list[list[float]]:
    """What the models answer to `rows` as `total`."""
    return [[10.0 * number + 3.0] for number in range(count)]


def write_openvino(path: Path, *, first: int = -1) -> Path:
    """An .xml file with its .bin; `first` is the length of the inputs' first axis, -1 for any. Gives `path` back."""
    from worker.engines.openvino.runtime import openvino

    ops = openvino.opset13
    numbers = ops.parameter([first, 3], openvino.Type.f32, name="numbers")
    offset = ops.parameter([first, 1], openvino.Type.f32, name="offset")
    total = ops.add(ops.reduce_sum(numbers, ops.constant(np.array([1])), keep_dims=True), offset)
    doubled = ops.multiply(numbers, ops.constant(np.float32(2)), name="doubled")
    total.output(0).set_names({"total", "the_sum_of_all"})
    openvino.save_model(openvino.Model([total, doubled], [numbers, offset], "sums"), path, compress_to_fp16=False)
    return path


def write_keras(path: Path, *, first: int | None = None, names: bool = False) -> Path:
    """A .keras or .h5 file; `first` as above, None for any; `names`: it gives a dict of outputs. Gives `path` back."""
    from worker.engines.tensorflow.quiet_import import quiet_tensorflow

    with quiet_tensorflow():
        import keras

    numbers = keras.Input(batch_shape=(first, 3), name="numbers")
    offset = keras.Input(batch_shape=(first, 1), name="offset")
    added = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(numbers)
    total = keras.layers.Add(name="add" if names else "total")([added, offset])
    doubled = keras.layers.Rescaling(2.0, name="rescaling" if names else "doubled")(numbers)
    outputs = {"total": total, "doubled": doubled} if names else [total, doubled]
    keras.Model([offset, numbers], outputs).save(path)
    return path


def write_tflite(path: Path, *, first: int | None = None) -> Path:
    """A .tflite file with a signature; `first` as above. Gives `path` back."""
    from worker.engines.tensorflow.quiet_import import quiet_tensorflow

    with quiet_tensorflow():
        import tensorflow as tf

    class Sums(tf.Module):  # type: ignore[misc]  # TensorFlow publishes no types
        @tf.function(
            input_signature=[tf.TensorSpec([first, 3], name="numbers"), tf.TensorSpec([first, 1], name="offset")]
        )
        def sums(self, numbers: Any, offset: Any) -> dict[str, Any]:
            return {"total": tf.reduce_sum(numbers, axis=1, keepdims=True) + offset, "doubled": numbers * 2}

    module = Sums()
    folder = path.with_suffix(".saved")
    tf.saved_model.save(module, str(folder), signatures=module.sums)
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    return path


def write_torch_export(path: Path, *, first: int | None = None) -> Path:
    """A .pt2 file; `first` as above. Gives `path` back."""
    import torch

    class Sums(torch.nn.Module):  # type: ignore[misc]  # PyTorch is imported without types
        def forward(self, numbers: Any, offset: Any) -> dict[str, Any]:
            return {"total": numbers.sum(dim=1, keepdim=True) + offset, "doubled": numbers * 2}

    rows_of = {0: torch.export.Dim("n")} if first is None else None
    example = (torch.zeros(first or 2, 3), torch.zeros(first or 2, 1))
    program = torch.export.export(Sums().eval(), example, dynamic_shapes=(rows_of, rows_of))
    torch.export.save(program, path)
    return path
