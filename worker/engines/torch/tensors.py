"""PyTorch: a file of torch.export with any inputs and outputs -> an engine that takes tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils import _pytree as pytree  # torch.export's own trees of arguments have no other library

from worker.artifacts.source import ModelSource
from worker.engines.device import name_of
from worker.engines.tensor_adapter import TensorAdapter
from worker.engines.tensors import Signature, TensorSpec
from worker.engines.torch.device import device_of
from worker.engines.torch.reader import read_program
from worker.errors import ModelError

_DATATYPES: Mapping[Any, str] = MappingProxyType(
    {
        torch.bool: "BOOL", torch.uint8: "UINT8", torch.int8: "INT8", torch.int16: "INT16", torch.int32: "INT32",
        torch.int64: "INT64", torch.float16: "FP16", torch.float32: "FP32", torch.float64: "FP64",
    }
)  # fmt: skip


def load(source: ModelSource) -> TensorAdapter:
    """Load the .pt2 file of `source`; raises ModelError with the cause and the cure."""
    assert source.path is not None
    device, number = device_of(source)
    program = read_program(source, source.path)
    entries, exits = _entries(program), _exits(program)
    signature = Signature(
        tuple(_spec(name, value) for name, value in entries), tuple(_spec(name, value) for name, value in exits)
    )
    network = program.module().to(device)
    before = _versions(network)
    engine = TensorAdapter(
        _forward(
            *(network, program.call_spec.in_spec, dict(entries), dict(exits)),
            device=device,
            bf16=source.precision == "bf16",
        ),
        signature,
        batches={value.shape[0] for _, value in entries if isinstance(value.shape[0], int)},
        name="torch",
        platform="pytorch_export",
        device=name_of(number),
    )
    example = engine.example()
    if example is not None:
        engine.predict(example)
    # Only some ways of exporting name the buffers that the network writes into, so it has been tried.
    if program.graph_signature.buffers_to_mutate or _versions(network) != before:
        raise ModelError(
            f"The model in {source.path} keeps a state between calls, which would pass from one caller to another: "
            "call its eval() before you export it, or export it without the state."
        )
    return engine


def _versions(network: Any) -> list[int]:
    """A count for each buffer, which grows with every write into it."""
    return [buffer._version for buffer in network.buffers()]


def _forward(
    network: Any, tree: Any, entries: Mapping[str, Any], exits: Mapping[str, Any], *, device: Any, bf16: bool
) -> Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]:
    """The network's function on `device`; `tree` is the structure of its arguments.

    In bf16 autocast computes, and outputs have the program's own types.
    """

    def forward(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # A program may write into its inputs, and a request's memory is not its own.
        values = [torch.from_numpy(np.array(arrays[name])).to(device) for name in entries]
        positional, named = pytree.tree_unflatten(values, tree)
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            found = pytree.tree_leaves(network(*positional, **named))
        return {name: value.to("cpu", exits[name].dtype).numpy() for name, value in zip(exits, found, strict=True)}

    return forward


def _entries(program: Any) -> list[tuple[str, Any]]:
    """The inputs by name, in order, as tensors without values. Raises ModelError for one that is no tensor."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    specs = [spec for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    return [(spec.arg.name, _tensor(spec.arg.name, values.get(spec.arg.name))) for spec in specs]


def _exits(program: Any) -> list[tuple[str, Any]]:
    """The outputs as `_entries` gives inputs: named by the dict that the model gives, else output, or output_0, ..."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    specs = [spec for spec in program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    tree = pytree.tree_unflatten(list(range(len(specs))), program.call_spec.out_spec)
    if isinstance(tree, dict) and all(isinstance(place, int) for place in tree.values()):
        names = {place: str(key) for key, place in tree.items()}
    else:
        names = {place: f"output_{place}" if len(specs) > 1 else "output" for place in range(len(specs))}
    return [(names[place], _tensor(names[place], values.get(spec.arg.name))) for place, spec in enumerate(specs)]


def _tensor(name: str, value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        raise ModelError(f"{name} is no tensor: export the model with a fixed value for it.")
    if value.ndim == 0:
        raise ModelError(f"{name} is a single value: every input and output needs a first axis for the rows.")
    return value


def _spec(name: str, value: Any) -> TensorSpec:
    if value.dtype not in _DATATYPES:
        raise ModelError(f"{name} is a {value.dtype}, which no tensor of a request is: export the model without it.")
    lengths = tuple(length if isinstance(length, int) else -1 for length in value.shape[1:])
    return TensorSpec(name, _DATATYPES[value.dtype], lengths)
