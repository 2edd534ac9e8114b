"""The JSON in a file of torch.export -> its inputs and outputs. Pure. Layout: torch/_export/serde/schema.py."""

from __future__ import annotations

from typing import Any

from worker.artifacts.damaged import Damaged
from worker.artifacts.signatures.tensor_shapes import Entry


def entries_of(program: Any) -> tuple[list[Entry], list[Entry]]:
    """Inputs, and one output: of several outputs of a classifier PyTorch's engine takes one. Raises Damaged."""
    try:
        module = program["graph_module"]
        sizes = {name: len(tensor["sizes"]) for name, tensor in module["graph"]["tensor_values"].items()}
        inputs = [each["user_input"]["arg"] for each in module["signature"]["input_specs"] if "user_input" in each]
        return [_entry(argument, sizes) for argument in inputs], [Entry("", None)]
    except (LookupError, TypeError, AttributeError) as error:
        raise Damaged(f"no program of torch.export: {error!r}") from error


def _entry(argument: Any, sizes: dict[str, int]) -> Entry:
    """An argument that is no tensor (a number, None) has no axes."""
    tensor = argument.get("as_tensor")
    return Entry("", 0) if tensor is None else Entry(tensor["name"], sizes[tensor["name"]])
