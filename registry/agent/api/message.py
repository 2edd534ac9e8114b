"""Requests and answers free of any web framework, and what every query string may say. Pure.

A `Call` is a request whose path has been split; an `Answer` is a status, a body and headers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from registry.agent.errors import BadRequest

_UINT64_MAX = 2**64 - 1
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_DIGITS = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and its headers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Query:
    """A query string's fields: names may be repeated, and a name alone (`?stale`) counts as given."""

    def __init__(self, text: str) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in parse_qsl(_readable(text), keep_blank_values=True):
            self._fields.setdefault(name, []).append(value)

    def given(self, name: str) -> bool:
        """Whether the name is there, with any value or none."""
        return name in self._fields

    def text(self, name: str) -> str:
        """The first value; empty if there is none."""
        return self.texts(name)[0] if self.given(name) else ""

    def texts(self, name: str) -> list[str]:
        """All values, in order."""
        return self._fields.get(name, [])

    def number(self, name: str) -> int | None:
        """An unsigned 64-bit number; None if absent or empty. Raises BadRequest in Go's words."""
        text = self.text(name)
        if not text:
            return None
        if not _DIGITS.fullmatch(text):
            raise BadRequest(f"strconv.ParseUint: parsing {json.dumps(text)}: invalid syntax")
        if int(text) > _UINT64_MAX:
            raise BadRequest(f"strconv.ParseUint: parsing {json.dumps(text)}: value out of range")
        return int(text)


def boolean(text: str) -> bool | None:
    """What Go's strconv.ParseBool makes of a text; None if nothing."""
    return True if text in _TRUE else False if text in _FALSE else None


def flag(query: Query, name: str) -> bool:
    """Whether a flag is set: its name alone will do. Raises BadRequest where it says neither yes nor no."""
    if not query.given(name):
        return False
    value = boolean(query.text(name) or "true")
    if value is None:
        raise BadRequest(f"Invalid value for ?{name}")
    return value


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `rest` is what follows the route's path, percent-decoded; what is not UTF-8 there is U+FFFD."""

    method: str
    path: str
    rest: str
    query: Query
    body: bytes = b""


Respond = Callable[[Call], Awaitable[Answer]]


def decoded(raw: str) -> str:
    """A percent-encoded path as text; what is not UTF-8 in it becomes U+FFFD."""
    return unquote(_readable(raw), errors="replace")


def _readable(raw: str) -> str:
    """Bare bytes outside ASCII arrive as surrogates, which no answer could say back."""
    return raw.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")


def json_answer(value: object, call: Call, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with `value` as JSON; indented if the query says `pretty`."""
    if call.query.given("pretty"):
        text = json.dumps(value, ensure_ascii=False, indent=4) + "\n"
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Answer(status, text.encode(), {"Content-Type": "application/json", **(headers or {})})


def text_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a sentence as plain text."""
    body = text.encode(errors="replace")
    return Answer(status, body, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})})
