"""Steps, sizes and conditions of a program of torch.export are operations and arithmetic, or it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from worker.artifacts.safety.exported_program import unsafe_in_program

SIZE = "Add(FloorDiv(Add(Symbol('s53', positive=True, integer=True), Integer(-3)), Integer(2)), Integer(1))"
TUPLE = '[1, {"type": "builtins.tuple", "context": "null", "children_spec": []}]'


def inside(**entry: Any) -> dict[str, Any]:
    return {"graph_module": {"graph": {"nodes": [{"name": "n"}, entry]}}}


@pytest.mark.parametrize(
    "entry",
    [
        {"target": "torch.ops.aten.conv2d.default"},
        {"target": "torch.ops.quantized_decomposed.quantize_per_tensor.default"},
        {"target": "torch.ops.higher_order.cond"},
        {"target": "_operator.mul"},
        {"target": "torch.sym_max"},
        {"expr_str": SIZE},
        {"expr_str": "2*s0 + 1 >= Max(1, u0)"},
        {"guards_code": ["L['x'].size()[0] == 2*L['y'].size()[1] and L['x'].size()[0] <= 64"]},
        {"use_pickle": False, "path_name": "weight_0"},
        {"in_spec": TUPLE, "out_spec": ""},
    ],
)
def test_what_computes_passes(entry: dict[str, Any]) -> None:
    """What torch.export writes of classifiers is served."""
    assert unsafe_in_program(inside(**entry)) is None


@pytest.mark.parametrize(
    "entry",
    [
        {"target": "torch.os.system"},
        {"target": "torch.ops.aten.from_file.default"},
        {"target": "torch.ops.load_library"},
        {"target": "torch.ops.higher_order.flat_apply"},
        {"target": "_operator.methodcaller"},
        {"target": "_operator.call"},
        {"target": ["torch.os.system"]},
        {"as_operator": "torch.os.system"},
        {"guards_code": "exit()"},
        {"target": "#extension:op"},
        {"expr_str": "__import__('os').system('id')"},
        {"expr_str": "S('__import__(1)')"},
        {"expr_str": "Symbol('s0').__class__"},
        {"expr_str": "Symbol('s0')(1)"},
        {"expr_str": "[c for c in Integer]"},
        {"expr_str": "(lambda: 1)()"},
        {"expr_str": "Max(1, 2"},
        {"expr_str": "Symbol('__import__(1)')"},
        {"guards_code": ["exit()"]},
        {"guards_code": ["L['x'].size().__class__"]},
        {"use_pickle": True},
        {"path_name": "opaque_obj_0"},
        {"path_name": "../weight_0"},
        {"in_spec": '[1, {"type": "collections.defaultdict", "context": "null", "children_spec": []}]'},
        {"in_spec": TUPLE.replace('"null"', r'"[{\"__enum__\": true}]"')},
        {"in_spec": "no JSON"},
    ],
)
def test_what_could_do_more_is_refused(entry: dict[str, Any]) -> None:
    """Each way into Python that torch.export.load has is closed."""
    assert unsafe_in_program(inside(**entry))
