"""Reads the objects of a JSON request body the way Consul does: typed, names in any casing, no unknown names.

Consul takes `CheckID`, `checkid` and, for some fields, `check_id`; here every field may be written in any casing,
with or without underscores. null means absent. Every refusal starts with DECODE_FAILED, as Consul's do.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NoReturn

from registry.agent.api.formats.go_duration import parse_duration
from registry.agent.errors import BadRequest

_KINDS = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_DECODER = json.JSONDecoder(parse_constant=lambda name: _fail(f"invalid character {name[0]!r}"))


DECODE_FAILED = "Request decode failed: "


def decode_object(body: bytes) -> Fields:
    """The object in a request body; as in Consul, null is an empty one, and text after the object is ignored.

    Bytes that are not UTF-8 become U+FFFD, as in Go. Raises BadRequest.
    """
    return Fields(_object(_decode(body), "body"))


def decode_objects(body: bytes) -> list[Fields]:
    """The list of objects in a request body, read as `decode_object` does; null elements are left out."""
    value = _decode(body)
    return [Fields(_object(one, "body")) for one in _list([] if value is None else value, "body") if one is not None]


def _decode(body: bytes) -> object:
    text = body.decode("utf-8", errors="replace").lstrip(" \t\r\n")
    if not text:
        _fail("EOF")
    try:
        value: object = _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        _fail("unexpected EOF" if error.pos >= len(text) else f"{error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError):
        _fail("a number too long or objects too deep")
    return value


class Fields:
    """The fields of one JSON object, each read once by its name, casing and underscores ignored."""

    def __init__(self, values: dict[str, object]) -> None:
        self._values = {_plain(name): value for name, value in values.items() if value is not None}
        self._names = {_plain(name): name for name in values}

    def only(self, names: Collection[str]) -> None:
        """Refuse fields with other names than these."""
        for plain in self._names.keys() - {_plain(name) for name in names}:
            _fail(f"json: unknown field {json.dumps(self._names[plain])}")

    def named(self, name: str) -> bool:
        """Whether the field is there, with any value and null too."""
        return _plain(name) in self._names

    def has(self, name: str) -> bool:
        """Whether the field is there, with any value but null."""
        return _plain(name) in self._values

    def given(self, name: str) -> bool:
        """Whether the field is there with a value that is not null, empty, false or zero."""
        return bool(self._values.get(_plain(name)))

    def text(self, name: str) -> str:
        """A string; empty if absent."""
        return _text(self._values.get(_plain(name), ""), name)

    def number(self, name: str, default: int = 0) -> int:
        """A whole number."""
        value = self._values.get(_plain(name), default)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
            _mismatch(value, name, "int")
        return value

    def real(self, name: str) -> float:
        """A number, whole or not; 0 if absent."""
        value = self._values.get(_plain(name), 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            _mismatch(value, name, "float64")
        return float(value)

    def reals(self, name: str) -> tuple[float, ...]:
        """A list of numbers, whole or not."""
        return tuple(Fields({name: value}).real(name) for value in _list(self._values.get(_plain(name), []), name))

    def flag(self, name: str) -> bool:
        """A boolean; false if absent."""
        value = self._values.get(_plain(name), False)
        return value if isinstance(value, bool) else _mismatch(value, name, "bool")

    def duration_s(self, name: str) -> float:
        """Seconds: a string such as "10s", or a number of nanoseconds; 0 if absent."""
        value = self._values.get(_plain(name), 0)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value / 1e9
        try:
            return parse_duration(_text(value, name))
        except ValueError as error:
            _fail(str(error))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(_text(value, name) for value in _list(self._values.get(_plain(name), []), name))

    def text_map(self, name: str) -> dict[str, str]:
        """An object whose values are strings."""
        return {key: _text(value, name) for key, value in self._entries(name)}

    def texts_map(self, name: str) -> dict[str, tuple[str, ...]]:
        """An object whose values are lists of strings: headers."""
        return {key: tuple(_text(item, name) for item in _list(value, name)) for key, value in self._entries(name)}

    def nested(self, name: str) -> Fields:
        """An object; empty if absent."""
        return Fields(dict(self._entries(name)))

    def nested_list(self, name: str) -> list[Fields]:
        """A list of objects; null elements are left out."""
        values = _list(self._values.get(_plain(name), []), name)
        return [Fields(_object(value, name)) for value in values if value is not None]

    def nested_map(self, name: str) -> dict[str, Fields]:
        """An object whose values are objects."""
        return {key: Fields(_object(value, name)) for key, value in self._entries(name)}

    def _entries(self, name: str) -> list[tuple[str, object]]:
        values = _object(self._values.get(_plain(name), {}), name)
        return [(_clean(key), value) for key, value in values.items()]


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _clean(text: str) -> str:
    """The text with U+FFFD in place of half a surrogate pair ("\\ud800"), which is valid JSON and no text; as in Go."""
    return text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")


def _text(value: object, name: str) -> str:
    if value is None:
        return ""
    return _clean(value) if isinstance(value, str) else _mismatch(value, name, "string")


def _list(value: object, name: str) -> list[object]:
    return value if isinstance(value, list) else _mismatch(value, name, "array")


def _object(value: object, name: str) -> dict[str, object]:
    if value is None:
        return {}
    return value if isinstance(value, dict) else _mismatch(value, name, "object")


def _mismatch(value: object, name: str, wanted: str) -> NoReturn:
    _fail(f"json: cannot unmarshal {_KINDS[type(value)]} into field {name} of type {wanted}")


def _fail(why: str) -> NoReturn:
    raise BadRequest(DECODE_FAILED + why)
