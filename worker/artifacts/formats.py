"""A model's file or folder -> its format, which its name tells; only a `model.py` is looked into.

The format decides which engines can read a model (`worker.engines.frameworks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from worker.artifacts.python_file import python_model_in
from worker.errors import ModelError

Format = Literal[
    "savedmodel", "keras", "graph", "onnx", "openvino", "tflite", "torchscript", "torchexport", "caffe", "python"
]  # fmt: skip

Precision = Literal["f32", "bf16"]
"""The number format that an engine computes in."""

PrecisionChoice = Precision | Literal["auto"]
"""What `--precision` takes: a number format, or the fastest one that agrees well enough on sample images."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

SUFFIXES: Mapping[str, Format] = MappingProxyType(
    {
        ".keras": "keras",
        ".h5": "keras",
        ".hdf5": "keras",
        ".pb": "graph",
        ".onnx": "onnx",
        ".xml": "openvino",
        ".tflite": "tflite",
        ".pt": "torchscript",
        ".ts": "torchscript",
        ".torchscript": "torchscript",
        ".pt2": "torchexport",
        ".caffemodel": "caffe",
    }
)

WANTED = (
    "a SavedModel's folder, or a .keras, .h5, .onnx, .xml (OpenVINO), .tflite, .pt or .ts (TorchScript), "
    ".pt2 (torch.export), .caffemodel (with its .prototxt), .pb (frozen graph) or .py (Python class) file"
)
"""The formats that can be served, in words for errors."""


def format_of(path: Path) -> Format:
    """The format of the model at `path`; ModelError, with the formats that exist, for anything else."""
    if path.is_dir():
        return "savedmodel"
    found: Format | None = "python" if path.suffix == ".py" else SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise ModelError(f"{path} is of no kind that is known here: --model wants {WANTED}.")
    return found


def model_in(folder: Path) -> Path | None:
    """The model directly in a folder: its `model.py`, the folder itself if it is a SavedModel, or its only model file.

    A Python model goes first, because what lies beside it are its weights.
    """
    code = python_model_in(folder)
    if code is not None:
        return code
    if (folder / "saved_model.pb").is_file():
        return folder
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES and file.is_file()]
    return files[0] if len(files) == 1 else None


def caffe_pair(path: Path) -> tuple[Path, Path]:
    """Caffe's network (.prototxt) and weights (.caffemodel), where `path` is either of them.

    The other one has the same name, else is the only one of its suffix in the folder; ModelError if there is none.
    """
    suffix = ".prototxt" if path.suffix == ".caffemodel" else ".caffemodel"
    same = path.with_suffix(suffix)
    others = [same] if same.is_file() else sorted(path.parent.glob(f"*{suffix}"))
    if len(others) != 1:
        raise ModelError(f"Beside {path} must be the other half of a Caffe model: {same.name}, or one {suffix} alone.")
    return (others[0], path) if suffix == ".prototxt" else (path, others[0])


def parts_of(path: Path) -> list[Path]:
    """All files that a model consists of, in an order that does not change, for a digest of them."""
    if path.is_dir():
        inside = [file for name in ("variables", "assets") for file in (path / name).rglob("*")]
        return [path / "saved_model.pb", *sorted(file for file in inside if file.is_file())]
    # Weights are often in a file of their own: model.bin for model.xml, model.onnx.data for model.onnx.
    stem = path.name.removesuffix(path.suffix)
    weights = {file for file in path.parent.iterdir() if file.is_file() and file.name.startswith(f"{stem}.")}
    pair = set(caffe_pair(path)) if path.suffix == ".caffemodel" else set()
    return sorted(weights | {path} | pair)
