"""Requests and responses free of any web framework, and what every query string may say. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from registry.agent.errors import BadRequest

_UINT64_MAX = 2**64 - 1
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_DIGITS = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Response:
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

    def items(self) -> list[tuple[str, str]]:
        """All names with all their values, by name."""
        return [(name, value) for name in sorted(self._fields) for value in self._fields[name]]

    def without(self, names: Collection[str]) -> tuple[tuple[str, str], ...]:
        """What `items` gives but for these names."""
        return tuple(item for item in self.items() if item[0] not in names)

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
    """The boolean that Go's strconv.ParseBool reads in a text; None if it is none."""
    return True if text in _TRUE else False if text in _FALSE else None


def flag(query: Query, name: str) -> bool:
    """Whether a flag is set; its name alone sets it. Raises BadRequest if its value is not a boolean."""
    if not query.given(name):
        return False
    value = boolean(query.text(name) or "true")
    if value is None:
        raise BadRequest(f"Invalid value for ?{name}")
    return value


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `rest` is what follows the route's path, percent-decoded; `client` is the IP address it came from.

    Bytes of the path that are not UTF-8 have become U+FFFD.
    """

    method: str
    path: str
    rest: str
    query: Query
    body: bytes = b""
    client: str = ""


Handler = Callable[[Request], Awaitable[Response]]


def decoded(raw: str) -> str:
    """A percent-encoded path as text; bytes that are not UTF-8 become U+FFFD."""
    return unquote(_readable(raw), errors="replace")


def _readable(raw: str) -> str:
    """Bare bytes outside ASCII arrive as surrogates, which no response could contain."""
    return raw.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")


def json_response(
    value: object, request: Request, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A response with `value` as JSON; indented if the query says `pretty`."""
    if request.query.given("pretty"):
        text = json.dumps(value, ensure_ascii=False, indent=4) + "\n"
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(status, text.encode(), {"Content-Type": "application/json", **(headers or {})})


def text_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response with a sentence as plain text."""
    body = text.encode(errors="replace")
    return Response(status, body, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})})
