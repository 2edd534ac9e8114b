"""Which inputs a file of torch.export has, by its JSON alone."""

from __future__ import annotations

from typing import Any

import pytest

from worker.artifacts.damaged import Damaged
from worker.artifacts.signatures.exported_program import entries_of
from worker.artifacts.signatures.tensor_shapes import Entry


def program(*arguments: Any) -> dict[str, Any]:
    inputs = [{"user_input": {"arg": argument}} for argument in arguments]
    weights = {"parameter": {"arg": {"name": "w"}, "parameter_name": "weight"}}
    values = {"w": {"sizes": [{"as_int": 3}]}, "x": {"sizes": [{"as_expr": {"expr_str": "s0"}}, {"as_int": 3}]}}
    return {"graph_module": {"graph": {"tensor_values": values}, "signature": {"input_specs": [weights, *inputs]}}}


def test_inputs_are_those_of_the_user() -> None:
    """Weights are none; a number has no axes; of the outputs PyTorch's engine takes one."""
    found = entries_of(program({"as_tensor": {"name": "x"}}, {"as_int": 3}))
    assert found == ([Entry("x", 2), Entry("", 0)], [Entry("", None)])


@pytest.mark.parametrize(
    "content", [None, [], {}, {"graph_module": 1}, program({"as_tensor": {"name": "z"}}), program(7)]
)
def test_another_program_is_damaged(content: Any) -> None:
    """Whatever JSON can hold, the error is the same."""
    with pytest.raises(Damaged):
        entries_of(content)
