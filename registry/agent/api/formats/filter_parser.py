"""Filter expressions, as Consul's go-bexpr reads them: text in, a tree of comparisons out. Pure.

    or-expression   := and-expression ["or" or-expression]
    and-expression  := not-expression ["and" and-expression]
    not-expression  := "not" not-expression | "(" or-expression ")" | comparison
    comparison      := selector ("==" | "!=" | ["not"] "contains" | ["not"] "matches") value
                     | selector "is" ["not"] "empty"
                     | value ["not"] "in" selector
    selector        := identifier ("." identifier | "[" string "]")*
    value           := selector | number | string

The sentence of a refusal names the place that the parser reached and what it could have read there, as go-bexpr's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import partial
from typing import NoReturn, TypeVar

from registry.agent.api.formats.filter_tree import Both, Comparison, Either, Expression, FilterError, Not, Operator

_T = TypeVar("_T")

_END = "EOF"
_BLANKS = " \t\r\n"
_ESCAPES = re.compile(r'(?:[^\\\n]|\\(?:[abfnrtv\\"]|[0-7]{3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}))*')
_VALUE_OPERATORS = (
    ((), "==", Operator.EQUAL),
    ((), "!=", Operator.NOT_EQUAL),
    (("contains",), "", Operator.IN),
    (("not", "contains"), "", Operator.NOT_IN),
    (("matches",), "", Operator.MATCHES),
    (("not", "matches"), "", Operator.NOT_MATCHES),
)


def parse_filter(text: str) -> Expression:
    """The tree of an expression. Raises FilterError."""
    try:
        return _Parser(text).parse()
    except RecursionError:
        raise FilterError("the expression is nested too deeply") from None


class _Mismatch(Exception):
    """The text does not continue as this rule wants it; another rule may fit."""


class _Parser:
    """Reads by recursive descent; `_furthest` remembers how far any rule came, and what it missed there."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._furthest = 0
        self._missed: set[str] = set()

    def parse(self) -> Expression:
        try:
            self._skip_blanks()
            expression = self._either()
            self._skip_blanks()
            if self._at < len(self._text):
                self._miss(_END)
                raise _Mismatch
        except _Mismatch:
            self._fail_at_furthest()
        return expression

    def _either(self) -> Expression:
        left = self._both()
        if not self._word("or"):
            return left
        return Either(left, self._either())

    def _both(self) -> Expression:
        left = self._negation()
        if not self._word("and"):
            return left
        return Both(left, self._both())

    def _negation(self) -> Expression:
        operand = self._try(self._negated)
        return Not(operand) if operand else self._group()

    def _negated(self) -> Expression:
        self._literal("not")
        self._blanks()
        return self._negation()

    def _group(self) -> Expression:
        if not self._text.startswith("(", self._at):
            self._miss('"("')
            return self._comparison()
        self._at += 1
        self._skip_blanks()
        expression = self._either()
        self._skip_blanks()
        if not self._text.startswith(")", self._at):
            self._fail("grouping", "Unmatched parentheses")
        self._at += 1
        return expression

    def _comparison(self) -> Expression:
        found = self._try(self._selector_first)
        return found or self._value_first()

    def _selector_first(self) -> Comparison:
        selector = self._selector()
        for words, sign, operator in _VALUE_OPERATORS:
            value = self._try(partial(self._operand, words, sign))
            if value is not None:
                return Comparison(selector, operator, value)
        if self._try(partial(self._words, ("is", "empty"))):
            return Comparison(selector, Operator.IS_EMPTY)
        if self._try(partial(self._words, ("is", "not", "empty"))):
            return Comparison(selector, Operator.IS_NOT_EMPTY)
        raise _Mismatch

    def _operand(self, words: tuple[str, ...], sign: str) -> str:
        if sign:
            self._skip_blanks()
            self._literal(sign)
            self._skip_blanks()
        else:
            self._words(words)
            self._blanks()
        return self._value()

    def _value_first(self) -> Comparison:
        value = self._value()
        operator = Operator.IN
        if not self._try(lambda: self._words(("in",), blank_after=True)):
            self._words(("not", "in"), blank_after=True)
            operator = Operator.NOT_IN
        selector = self._try(self._selector)
        if selector is None:
            self._fail("match", "Invalid selector")
        return Comparison(selector, operator, value)

    def _value(self) -> str:
        selector = self._try(self._selector)
        if selector is not None:
            return ".".join(selector)
        number = self._try(self._number)
        return self._string() if number is None else number

    def _selector(self) -> tuple[str, ...]:
        parts = [self._identifier()]
        while True:
            if self._text.startswith(".", self._at):
                part = self._try(self._attribute)
            else:
                self._miss('"."')
                part = self._try(self._subscript)
            if part is None:
                return tuple(parts)
            parts.append(part)

    def _attribute(self) -> str:
        self._literal(".")
        return self._identifier()

    def _subscript(self) -> str:
        self._literal("[")
        self._skip_blanks()
        if self._text[self._at : self._at + 1] not in ("`", '"'):
            self._fail("index", "Invalid index")
        name = self._string()
        self._skip_blanks()
        if not self._text.startswith("]", self._at):
            self._fail("index", "Unclosed index expression")
        self._at += 1
        return name

    def _identifier(self) -> str:
        found = re.compile("[a-zA-Z][a-zA-Z0-9_]*").match(self._text, self._at)
        if not found:
            self._miss("[a-zA-Z]")
            raise _Mismatch
        self._at = found.end()
        self._miss("[a-zA-Z0-9_]")
        return found[0]

    def _number(self) -> str:
        found = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?").match(self._text, self._at)
        if not found:
            for label in ('"-"', '"0"', "[1-9]"):
                self._miss(label)
            raise _Mismatch
        self._at = found.end()
        if "." not in found[0]:
            self._miss('"."')
        following = self._text[self._at : self._at + 1]
        if following and following not in f"{_BLANKS})":
            self._fail("number", "Invalid number literal")
        return found[0]

    def _string(self) -> str:
        quote = self._text[self._at : self._at + 1]
        if quote not in ("`", '"'):
            for label in ('"`"', r'"\""'):
                self._miss(label)
            raise _Mismatch
        end = self._text.find(quote, self._at + 1)
        if end < 0:
            self._at = len(self._text)
            self._fail("string", "Unterminated string literal")
        inside = self._text[self._at + 1 : end]
        if quote == '"':
            if not _ESCAPES.fullmatch(inside):
                self._fail("string", "invalid syntax")
            inside = str(ast.literal_eval(f'"{inside}"'))
        self._at = end + 1
        return inside

    def _word(self, word: str) -> bool:
        """Read a word with blanks on both sides, if it is there."""
        return self._try(lambda: self._words((word,), blank_after=True)) is not None

    def _words(self, words: tuple[str, ...], *, blank_after: bool = False) -> bool:
        """Read words, each after a blank."""
        for word in words:
            self._blanks()
            self._literal(word)
        if blank_after:
            self._blanks()
        return True

    def _literal(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            self._miss(f'"{text}"')
            raise _Mismatch
        self._at += len(text)

    def _blanks(self) -> None:
        if self._text[self._at : self._at + 1] not in tuple(_BLANKS):
            self._miss(r"[ \t\r\n]")
            raise _Mismatch
        self._skip_blanks()

    def _skip_blanks(self) -> None:
        while self._text[self._at : self._at + 1] in tuple(_BLANKS):
            self._at += 1
        self._miss(r"[ \t\r\n]")

    def _try(self, rule: Callable[[], _T]) -> _T | None:
        """What a rule reads, or None, with nothing read, where it does not fit."""
        start = self._at
        try:
            return rule()
        except _Mismatch:
            self._at = start
            return None

    def _miss(self, label: str) -> None:
        if self._at > self._furthest:
            self._furthest, self._missed = self._at, set()
        if self._at == self._furthest:
            self._missed.add(label)

    def _fail_at_furthest(self) -> NoReturn:
        *others, last = sorted(self._missed, key=lambda label: (label == _END, label))
        expected = f"{', '.join(others)} or {last}" if others else last
        raise FilterError(f"{self._place(self._furthest)}: no match found, expected: {expected}")

    def _fail(self, rule: str, why: str) -> NoReturn:
        """Refuse what no other rule could read either."""
        raise FilterError(f'{self._place(self._at)}: rule "{rule}": {why}')

    def _place(self, at: int) -> str:
        """Line, column and byte offset, counted as Go's parser generator does."""
        before = self._text[:at]
        column = len(before) - before.rfind("\n")
        return f"{before.count(chr(10)) + 1}:{column} ({len(before.encode())})"
