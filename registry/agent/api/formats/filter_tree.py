"""Filter expressions as trees: comparisons, and how they are joined. Pure data."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from registry.agent.errors import AgentError


class FilterError(AgentError):
    """The expression cannot be read, or does not fit the entries it is to filter."""


class Operator(enum.Enum):
    """What a comparison does; the value is go-bexpr's name for it."""

    EQUAL = "Equal"
    NOT_EQUAL = "Not Equal"
    IN = "In"
    NOT_IN = "Not In"
    IS_EMPTY = "Is Empty"
    IS_NOT_EMPTY = "Is Not Empty"
    MATCHES = "Matches"
    NOT_MATCHES = "Not Matches"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison; `value` is the text as written, None for "is empty"."""

    selector: tuple[str, ...]
    operator: Operator
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of an expression."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Both:
    """Two expressions that must both hold."""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Either:
    """Two expressions of which one must hold."""

    left: Expression
    right: Expression


Expression = Comparison | Not | Both | Either
