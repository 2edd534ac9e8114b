"""Filter expressions fitted to a kind of entry: which entries match. Pure.

The rules are go-bexpr's (0.1.2, of Consul 1.8): a selector that passes through a list holds if it does for any
element; a key that a map does not have is unequal to everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from registry.agent.api.formats.filter_fields import Field, Scalar, Sequence, Struct, Table
from registry.agent.api.formats.filter_parser import parse_filter
from registry.agent.api.formats.filter_tree import Both, Comparison, Either, Expression, FilterError, Not, Operator

__all__ = ["FilterError", "compile_filter"]

_EQUALITY = (Operator.EQUAL, Operator.NOT_EQUAL)
_MEMBERSHIP = (Operator.IN, Operator.NOT_IN)
_EMPTINESS = (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY)
_MATCHING = (Operator.MATCHES, Operator.NOT_MATCHES)
_NEGATIONS = {
    Operator.NOT_EQUAL: Operator.EQUAL,
    Operator.NOT_IN: Operator.IN,
    Operator.IS_NOT_EMPTY: Operator.IS_EMPTY,
    Operator.NOT_MATCHES: Operator.MATCHES,
}
_FALSE_OF_A_MISSING_KEY = (Operator.EQUAL, Operator.IS_NOT_EMPTY, Operator.IN)
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_ZEROS: Mapping[str, object] = {"string": "", "int": 0, "bool": False}
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1

Predicate = Callable[[Mapping[str, object]], bool]


def compile_filter(text: str, fields: Struct) -> Predicate:
    """Whether an entry with these fields matches the expression. Raises FilterError."""
    return _compile(parse_filter(text), fields)


def _compile(expression: Expression, fields: Struct) -> Predicate:
    if isinstance(expression, Comparison):
        comparison = _fit(expression, fields)
        return lambda entry: _holds(comparison, entry, fields, comparison.selector)
    if isinstance(expression, Not):
        operand = _compile(expression.operand, fields)
        return lambda entry: not operand(entry)
    left, right = _compile(expression.left, fields), _compile(expression.right, fields)
    if isinstance(expression, Both):
        return lambda entry: left(entry) and right(entry)
    assert isinstance(expression, Either)
    return lambda entry: left(entry) or right(entry)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A comparison whose selector exists, and whose value has the type of what it selects."""

    selector: tuple[str, ...]
    operator: Operator
    value: object = None


def _fit(comparison: Comparison, fields: Struct) -> _Fitted:
    field: Field = fields
    for length, name in enumerate(comparison.selector, start=1):
        inner = _inner(field, name)
        if inner is None:
            raise FilterError(f"Selector {_quoted(comparison.selector[:length])} is not valid")
        field = inner
    operator = comparison.operator
    if operator not in _operators(field):
        raise FilterError(f'Invalid match operator "{operator.value}" for selector {_quoted(comparison.selector)}')
    if comparison.value is None:
        return _Fitted(comparison.selector, operator)
    if operator in _MATCHING:
        return _Fitted(comparison.selector, operator, _pattern(comparison.value))
    return _Fitted(comparison.selector, operator, _coerced(comparison.value, field, comparison.selector))


def _inner(field: Field, name: str) -> Field | None:
    """What a name selects in a field; None where it selects nothing."""
    if isinstance(field, Sequence):
        field = field.item
    if isinstance(field, Struct):
        return field.fields.get(name)
    return field.value if isinstance(field, Table) else None


def _operators(field: Field) -> tuple[Operator, ...]:
    if isinstance(field, Scalar):
        return (*_EQUALITY, *_MEMBERSHIP, *_MATCHING) if field.kind == "string" else _EQUALITY
    if isinstance(field, Sequence):
        return (*_MEMBERSHIP, *_EMPTINESS) if isinstance(field.item, Scalar) else _EMPTINESS
    return (*_MEMBERSHIP, *_EMPTINESS) if isinstance(field, Table) else ()


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        why = f"error parsing regexp: {error}"
        raise FilterError(f"Failed to compile regular expression {json.dumps(text)}: {why}") from error


def _coerced(text: str, field: Field, selector: tuple[str, ...]) -> object:
    kind = field.item if isinstance(field, Sequence) else field
    if not isinstance(kind, Scalar) or kind.kind == "string":
        return text
    try:
        return _BOOLEANS[text] if kind.kind == "bool" else _integer(text)
    except (KeyError, ValueError) as error:
        function = "ParseBool" if kind.kind == "bool" else "ParseInt"
        why = "value out of range" if isinstance(error, _OutOfRange) else "invalid syntax"
        raise FilterError(
            f"Failed to coerce value {json.dumps(text)} for selector {_quoted(selector)}: "
            f"strconv.{function}: parsing {json.dumps(text)}: {why}"
        ) from error


class _OutOfRange(ValueError):
    """A number that does not fit into Go's int."""


def _integer(text: str) -> int:
    number = int(text, 0)
    if not _INT_MIN <= number <= _INT_MAX:
        raise _OutOfRange
    return number


def _holds(comparison: _Fitted, value: object, field: Field, path: tuple[str, ...]) -> bool:
    if not path:
        return _compare(comparison, _ZEROS[field.kind] if value is None and isinstance(field, Scalar) else value)
    if isinstance(field, Sequence):
        return any(_holds(comparison, element, field.item, path) for element in _elements(value))
    name, *rest = path
    inner = _inner(field, name)
    assert inner is not None
    holder = value if isinstance(value, Mapping) else {}
    if isinstance(field, Table) and name not in holder:
        return comparison.operator not in _FALSE_OF_A_MISSING_KEY
    return _holds(comparison, holder.get(name), inner, tuple(rest))


def _compare(comparison: _Fitted, value: object) -> bool:
    positive = _NEGATIONS.get(comparison.operator, comparison.operator)
    if positive is Operator.EQUAL:
        holds = value == comparison.value
    elif positive is Operator.IS_EMPTY:
        holds = not value
    elif positive is Operator.MATCHES:
        assert isinstance(comparison.value, re.Pattern)
        holds = comparison.value.search(str(value)) is not None
    elif isinstance(value, str):
        holds = str(comparison.value) in value
    else:
        holds = comparison.value in _elements(value)
    return holds if positive is comparison.operator else not holds


def _elements(value: object) -> Iterable[object]:
    return value if isinstance(value, Iterable) else ()


def _quoted(selector: tuple[str, ...]) -> str:
    return json.dumps(".".join(selector), ensure_ascii=False)
