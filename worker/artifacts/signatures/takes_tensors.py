"""Whether a model on disk takes tensors rather than one image; only its file is read, without its framework."""

from __future__ import annotations

from pathlib import Path

from worker.artifacts.formats import Format
from worker.artifacts.safety.check import bytes_of
from worker.artifacts.safety.protobuf import Damaged
from worker.artifacts.signatures import onnx_file, saved_model_file
from worker.artifacts.signatures.tensor_shapes import classifies_images


def takes_tensors(path: Path, model_format: Format, *, signature: str | None = None) -> bool:
    """Whether the model has several inputs, several outputs that may be scores, or an input that is no image.

    False for formats in which only classifiers are served, and for files that cannot be read: their engines say better
    what is wrong with them.
    """
    try:
        match model_format:
            case "onnx":
                entries = onnx_file.entries_of(bytes_of(path))
            case "savedmodel":
                entries = saved_model_file.entries_of(bytes_of(path / "saved_model.pb"), signature)
            case _:
                return False
    except (OSError, Damaged):
        return False
    inputs, outputs = entries
    return bool(inputs and outputs) and not classifies_images(inputs, outputs)
