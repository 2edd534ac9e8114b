"""Frozen dataclasses as JSON documents: reads them from parsed JSON and describes them as JSON Schema.

Both come from one definition, so that `/openapi.json` describes exactly the documents that are read and written.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from worker.errors import BadRequest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_PLAIN: Mapping[type, tuple[str, str]] = types.MappingProxyType(
    {
        str: ("string", "a string"),
        bool: ("boolean", "true or false"),
        int: ("integer", "a whole number"),
        float: ("number", "a number"),
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """In `Annotated[Any, Shown(...)]`: `read` leaves the value as it is, and `schema` describes it as `kind`."""

    kind: Any


def read(kind: type[T], value: object, *, where: str = "The JSON document") -> T:
    """`value`, as parsed from JSON, as the dataclass `kind`; unknown names in it are ignored.

    Raises BadRequest that names the first place (`where`, then a path from there) that is not as `kind` says.
    """
    if not isinstance(value, dict):
        raise BadRequest(f"{where} must be an object with {_names(kind)}.")
    known = {}
    for field in dataclasses.fields(kind):
        given = value.get(field.name)
        if given is not None:
            known[field.name] = _read(_hints(kind)[field.name], given, _inside(where, field.name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BadRequest(f"{where} has no {field.name!r}: it must be an object with {_names(kind)}.")
    return kind(**known)


def schema(kind: Any, parts: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a type hint; the schemas of dataclasses in it go into `parts`, and it refers to them."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        shown = next((note.kind for note in notes if isinstance(note, Shown)), inner)
        says = [note for note in notes if isinstance(note, str)]
        return schema(shown, parts) | ({"description": says[0]} if says else {})
    if dataclasses.is_dataclass(kind):
        name = getattr(kind, "__name__", "")
        if name not in parts:
            parts[name] = {}  # first, so that a dataclass that contains itself does not recurse for ever
            parts[name].update(_object_schema(kind, parts))
        return {"$ref": f"#/components/schemas/{name}"}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind][0]}
    return _compound_schema(get_origin(kind), get_args(kind), parts)


def _compound_schema(origin: Any, inner: tuple[Any, ...], parts: dict[str, Any]) -> dict[str, Any]:
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema(each, parts) for each in inner if each is not types.NoneType]}
    if origin is list:
        return {"type": "array", "items": schema(inner[0], parts)}
    if origin is tuple:
        any_of = {"anyOf": [schema(each, parts) for each in inner]}  # prefixItems is read wrongly by schemathesis 4.32
        return {"type": "array", "items": any_of, "minItems": len(inner), "maxItems": len(inner)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(inner[1], parts)}
    if origin is Literal:
        return {"enum": list(inner)}
    return {}  # Any


def _object_schema(kind: Any, parts: dict[str, Any]) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    required = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    properties = {f.name: schema(_hints(kind)[f.name], parts) for f in fields}
    return {"type": "object", "description": kind.__doc__, "properties": properties} | (
        {"required": required} if required else {}
    )


def _read(hint: Any, value: Any, where: str) -> Any:
    """A value as its hint says; a union means its member that is not None."""
    if get_origin(hint) is Annotated:
        hint, *_ = get_args(hint)
    if get_origin(hint) is types.UnionType:
        hint = next(each for each in get_args(hint) if each is not types.NoneType)
    if dataclasses.is_dataclass(hint):
        return read(hint, value, where=where)  # type: ignore[arg-type]  # never an instance here
    if get_origin(hint) is list:
        if not isinstance(value, list):
            raise BadRequest(f"{where} must be a list.")
        return [_read(get_args(hint)[0], each, f"{where}[{index}]") for index, each in enumerate(value)]
    if hint in _PLAIN and type(value) is not hint:
        raise BadRequest(f"{where} must be {_PLAIN[hint][1]}.")
    return value


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return types.MappingProxyType(get_type_hints(kind, include_extras=True))


def _names(kind: Any) -> str:
    return " and ".join(repr(field.name) for field in dataclasses.fields(kind))


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where != "The JSON document" else name
