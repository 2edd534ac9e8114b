"""Whether a model on disk takes tensors rather than one image; only its file is read, without its framework."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from worker.artifacts.formats import Format
from worker.artifacts.keras_file import configs_in
from worker.artifacts.safety.check import bytes_of
from worker.artifacts.signatures import (
    exported_program,
    keras_model,
    onnx_file,
    openvino_file,
    saved_model_file,
    tflite_file,
)
from worker.artifacts.signatures.tensor_shapes import Entry, classifies_images
from worker.artifacts.zip_archive import member_of

_NOTHING: tuple[list[Entry], list[Entry]] = ([], [])


def takes_tensors(path: Path, model_format: Format, *, signature: str | None = None) -> bool:
    """Whether the model has several inputs, several outputs that may be scores, or an input that is no image.

    False for formats in which only classifiers are served, and for files that cannot be read: their engines say better
    what is wrong with them.
    """
    try:
        inputs, outputs = _entries(path, model_format, signature)
    except (OSError, ImportError, ValueError, TypeError, RecursionError):  # what readers of damaged files raise
        return False
    return bool(inputs and outputs) and not classifies_images(inputs, outputs)


def _entries(path: Path, model_format: Format, signature: str | None) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """Inputs and outputs; none of a format in which only classifiers are served."""
    match model_format:
        case "keras":
            configs = configs_in(path)
            return keras_model.entries_of(configs[0]) if len(configs) == 1 else _NOTHING
        case "onnx":
            return onnx_file.entries_of(bytes_of(path))
        case "openvino":
            return openvino_file.entries_of(bytes_of(path))
        case "savedmodel":
            return saved_model_file.entries_of(bytes_of(path / "saved_model.pb"), signature)
        case "tflite":
            return tflite_file.entries_of(bytes_of(path))
        case "torchexport" | "torchscript":  # PyTorch tells them by what the archive contains
            program = member_of(path, _is_program)
            return _NOTHING if program is None else exported_program.entries_of(json.loads(program))
        case _:
            return _NOTHING


def _is_program(name: str) -> bool:
    return name.lower().endswith(("models/model.json", "serialized_exported_program.json"))
