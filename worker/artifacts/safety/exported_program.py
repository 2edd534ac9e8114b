"""The JSON in a file of torch.export -> what in it could run code, in words, or None. Pure.

PyTorch evaluates sizes (`expr_str`) and conditions (`guards_code`) as Python, looks the function of each step up by its
name anywhere in torch, and unpickles constants that are no tensors. A program that needs none of this passes: sizes and
conditions are arithmetic, steps are operations of ATen, constants are tensors.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_STEPS = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed|torchvision)\.(?!from_file\b|save\b)\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.(cond|while_loop|map_impl|scan|associative_scan|wrap_with_set_grad_enabled)"
    r"|torch\.ops\.higher_order\.wrap_with_autocast"
    r"|torch\.sym_\w+|torch\.(int|float|not|max|min|ite|sqrt)|math\.\w+"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|index|getitem|lshift|rshift|eq|ne|lt|le|gt|ge"
    r"|and_|or_|xor|not_|inv|invert)"
)
_PAYLOAD = re.compile(r"(weight|tensor|constant)_\d+")
_CONTAINERS = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
_FUNCTIONS = frozenset(
    (
        *(
            "Symbol",
            "Integer",
            "Float",
            "Rational",
            "Add",
            "Mul",
            "Pow",
            "Max",
            "Min",
            "Mod",
            "Abs",
            "Not",
            "And",
            "Or",
        ),
        *("Or", "Equality", "Unequality", "Eq", "Ne", "Ge", "Gt", "Le", "Lt", "GreaterThan", "LessThan"),
        *("StrictGreaterThan", "StrictLessThan", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv"),
        *("CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv"),
        *("IntTrueDiv", "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity"),
        "IsNonOverlappingAndDenseIndicator",
    )
)
_METHODS = frozenset({"size", "stride", "storage_offset", "dim"})
_NAMES = re.compile(r"[suz]\d+|L|oo|int_oo|true|false|zoo|nan")
_TEXT = re.compile(r"[A-Za-z]\w{0,63}")
_ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop),
    *(ast.cmpop, ast.Load, ast.keyword, ast.Subscript, ast.Tuple),
)


def unsafe_in_program(program: Any) -> str | None:
    """The first part of a JSON file of the archive, as `json.loads` gives it, that could run code."""
    return next((found for key, value in _entries(program) if (found := _unsafe_entry(key, value))), None)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Each key of each object, with its value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, inner
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


def _unsafe_entry(key: str, value: Any) -> str | None:
    if key in ("target", "as_operator") and not _STEPS.fullmatch(str(value)):
        return f"the step {str(value)[:80]}"
    if key == "expr_str" and not _is_arithmetic(str(value)):
        return f"the size {str(value)[:80]}, which is no arithmetic"
    if key == "guards_code" and not (isinstance(value, list) and all(_is_arithmetic(str(each)) for each in value)):
        return "a condition (guards_code) that is no arithmetic"
    if key == "use_pickle" and value is not False:
        return "a pickle"
    if key == "path_name" and not _PAYLOAD.fullmatch(str(value)):
        return f"the constant {value}, which is no tensor"
    if key in ("in_spec", "out_spec") and not _is_plain_structure(value):
        return f"an {key} of other things than tuples, lists and dictionaries"
    return None


def _is_arithmetic(expression: str) -> bool:
    """Whether an expression only computes: numbers, sizes of inputs, and functions of a list."""
    try:
        nodes: Iterable[ast.AST] = ast.walk(ast.parse(expression, mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, _ARITHMETIC) or _is_harmless(node) for node in nodes)


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func
        return isinstance(called, ast.Attribute) or (isinstance(called, ast.Name) and called.id in _FUNCTIONS)
    if isinstance(node, ast.Attribute):
        return node.attr in _METHODS
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or bool(_NAMES.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) or (
            isinstance(node.value, str) and bool(_TEXT.fullmatch(node.value))
        )
    return False


def _is_plain_structure(spec: Any) -> bool:
    """Whether a pytree's description, itself JSON in a string, holds nothing but plain containers."""
    try:
        return spec is None or not spec or all(map(_is_plain_node, json.loads(spec)[1:]))
    except (ValueError, TypeError, RecursionError):
        return False


def _is_plain_node(node: Any) -> bool:
    if not isinstance(node, Mapping) or node.get("type") not in _CONTAINERS:
        return False
    context = json.loads(node["context"]) if node.get("context") else None
    keys = context if isinstance(context, list) else [] if context is None else [context]
    return all(isinstance(key, str | int) for key in keys) and all(map(_is_plain_node, node.get("children_spec", ())))
