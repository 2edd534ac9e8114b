"""A TorchScript file or one of torch.export -> the network on its device, with the shape and type of its input.

A TorchScript file does not contain the shape of its input: [n, 3, height, width] of floats is assumed, 224 x 224 unless
model.toml or --size says otherwise. A file of torch.export contains shape and type. A pickled module is refused unless
unsafe models are allowed, because a pickle can run anything; `worker.artifacts.safety` looks for code in the others.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from worker.artifacts.safety.check import unsafe_model
from worker.artifacts.source import ModelSource
from worker.engines.adapter import first_line
from worker.errors import ModelError

_EDGE = 224
_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Read by torch.load at each call; it wins over what the caller says."""

NUMPY_TYPES: Mapping[Any, str] = MappingProxyType(
    {torch.float32: "float32", torch.float16: "float16", torch.float64: "float64", torch.uint8: "uint8"}
)
"""The types of input that can be fed, and what numpy calls them."""


@dataclass(frozen=True)
class Network:
    """A module on its device, and its input's shape (None: any length) and type."""

    call: Callable[[Any], Any]
    shape: list[int | None]
    dtype: Any
    platform: str


def read_network(source: ModelSource, path: Path, device: Any) -> Network:
    """Read the file; raises ModelError with the cause and the cure."""
    read = _reader(path, pickles=source.allow_unsafe)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, whose files are still in use
        try:
            network = read(source, path, device)
        except RuntimeError as error:
            raise ModelError(f"{path} cannot be loaded by PyTorch: {first_line(error)}") from error
    if network.dtype not in NUMPY_TYPES:
        raise ModelError(f"The model's input is of {network.dtype}; only images as numbers can be fed.")
    return network


def _scripted(source: ModelSource, path: Path, device: Any) -> Network:
    """A TorchScript file with its weights as constants, in their own type."""
    module = torch.jit.load(str(path), map_location=device).eval()
    inputs = [each.name for each in module.forward.schema.arguments[1:] if not each.has_default_value()]
    if len(inputs) > 1:
        raise ModelError(
            f"{path} takes several inputs ({', '.join(inputs)}), and TorchScript does not say of which types and "
            "shapes: save it with torch.export.save as .pt2, or wrap it in a Python model."
        )
    return replace(_assumed(source, module), call=torch.jit.freeze(module), platform="pytorch_torchscript")


def _pickled(source: ModelSource, path: Path, device: Any) -> Network:
    """A module as torch.save wrote it, whose classes are imported."""
    module = torch.load(str(path), map_location=device, weights_only=False)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{path} holds a {type(module).__name__}, not a network: save the module, not its weights.")
    return _assumed(source, module.eval())


def _assumed(source: ModelSource, module: Any) -> Network:
    """A module that does not state its input: the usual or requested shape, and the type of its weights."""
    dtype = next((weights.dtype for weights in module.parameters()), torch.float32)
    height, width = source.preprocess.size or (_EDGE, _EDGE)
    channels_last = source.preprocess.layout == "nhwc"
    shape = [None, height, width, 3] if channels_last else [None, 3, height, width]
    return Network(module, shape, dtype, "pytorch_pickle")


def _exported(source: ModelSource, path: Path, device: Any) -> Network:
    """A file of torch.export, which contains the shape of its input; variable lengths are symbols there."""
    program = read_program(source, path)
    names = program.graph_signature.user_inputs
    entries = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(entries) != 1:
        raise ModelError(f"{path} has {len(entries)} inputs; a classifier has one.")
    shape = [length if isinstance(length, int) else None for length in entries[0].shape]
    return Network(program.module().to(device), shape, entries[0].dtype, "pytorch_export")


def read_program(source: ModelSource, path: Path) -> Any:
    """The program in a file of torch.export. Raises ModelError for one with a pickle that could run code."""
    with contextlib.nullcontext() if source.allow_unsafe else _weights_only():
        try:
            return torch.export.load(str(path))
        except pickle.UnpicklingError as error:
            raise unsafe_model(path, "a pickle of other things than tensors") from error


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """Have PyTorch unpickle nothing but tensors; torch.export.load would unpickle the file's sample inputs wholly."""
    before = os.environ.get(_WEIGHTS_ONLY)
    os.environ[_WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_WEIGHTS_ONLY]
        else:
            os.environ[_WEIGHTS_ONLY] = before


def _reader(path: Path, *, pickles: bool) -> Callable[[ModelSource, Path, Any], Network]:
    """The function that reads the file, by the names in its archive.

    Raises ModelError for a file of another kind, and for a pickle unless `pickles` allows it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()} | set(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not a file of TorchScript or torch.export ({error}).") from error
    if {"models/model.json", "serialized_exported_program.json"} & names:
        return _exported
    if "constants.pkl" in names:
        return _scripted
    if pickles:
        return _pickled
    raise ModelError(
        f"{path} holds weights or a pickled module, not a network that can be run without its source: "
        "save it with torch.export.save or torch.jit.save. A pickle can run any code; if you trust who made it, "
        "--allow-unsafe-model loads a pickled module whose source is installed."
    )
