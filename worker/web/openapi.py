"""The routes of a worker -> its OpenAPI 3.1 description at `/openapi.json`, generated from the routes alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from aiohttp import web

from worker.errors import Busy, Forbidden, QuotaUsedUp, Unauthorized, WorkerError, WrongWorker
from worker.web.access.port_access import OPEN
from worker.web.json_schema import schema
from worker.web.routes import JSON, OPERATION, TEXT, Parameter, Route

_BOOT = Parameter("P2P-Boot", "header", "string", "The boot id of the instance that was looked up; 421 if it is gone.")
_ANYWHERE: tuple[type[WorkerError], ...] = (WrongWorker, WorkerError)
_CLOSED: tuple[type[WorkerError], ...] = (Unauthorized, Forbidden, QuotaUsedUp)
"""The errors of a path that is not open, where the worker asks for tokens or tickets."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The body of an answer that reports an error."""

    error: Annotated[str, "One sentence that says what to do."]


class OpenApiRoute:
    """`GET /openapi.json`; its document is made once, from the routes, of which it is one."""

    def __init__(self) -> None:
        self._text = ""

    def routes(self) -> list[Route]:
        """The route of the description itself."""
        answer = {JSON: dict[str, Any]}
        return [Route("GET", "/openapi.json", self.read, tag=OPERATION, summary="This description.", answer=answer)]

    def describe(self, routes: Sequence[Route], models: Sequence[str]) -> None:
        """Make the document of `routes`; `models` are the names that may stand in a path."""
        self._text = json.dumps(openapi_document(routes, models=models))

    async def read(self, _: web.Request) -> web.Response:
        """Answer with the OpenAPI document."""
        return web.Response(text=self._text, content_type=JSON)


def openapi_document(routes: Sequence[Route], *, models: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI document of `routes`, as JSON takes it; `models` are the names that may stand in a path."""
    parts: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.plain_path, {})[route.method.lower()] = _operation(route, parts, models)
    return {
        "openapi": "3.1.0",
        "info": {"title": "p2p-serving worker", "version": own_version()},
        "paths": paths,
        "components": {"schemas": parts},
    }


@cache
def own_version() -> str:
    """This package's version, read once; 0 where its code runs without being installed."""
    try:
        return version("p2p-serving")
    except PackageNotFoundError:
        return "0"


def _operation(route: Route, parts: dict[str, Any], models: Sequence[str]) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"} | _known(name, models)}
        for name in re.findall(r"\{(\w+)\}", route.plain_path)
    ]
    operation: dict[str, Any] = {
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": [*in_path, *(_parameter(each) for each in (*route.parameters, _BOOT))],
        "responses": _responses(route, parts),
    }
    if route.takes:
        operation["requestBody"] = {"required": True, "content": _content(route.takes, parts)}
    if route.example:
        operation["requestBody"]["content"][JSON]["example"] = route.example
    return operation


def _known(variable: str, models: Sequence[str]) -> dict[str, Any]:
    return {"name": {"enum": list(models)}, "version": {"examples": ["1"]}}.get(variable, {})


def _parameter(parameter: Parameter) -> dict[str, Any]:
    pattern = {"pattern": parameter.pattern} if parameter.pattern else {}
    examples = {"examples": [parameter.example]} if parameter.example else {}
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.says,
        "schema": {"type": parameter.kind} | pattern | examples,
    }


def _responses(route: Route, parts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if route.answer:
        found["200"] = {"description": "The answer.", "content": _content(route.answer, parts)}
    kinds = route.answer if route.answer else {TEXT: str}
    for status, says in route.also.items():
        found[str(status)] = {"description": says, "content": _content(kinds, parts)}
    for error in (*route.refuses, *_ANYWHERE, *(() if route.path in OPEN else _CLOSED)):
        answer = {"description": _first_line(error), "content": {JSON: {"schema": schema(ErrorBody, parts)}}}
        if issubclass(error, Busy):
            wait = {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}}
            answer["headers"] = {"Retry-After": wait}
        found[str(error.status)] = answer
    return dict(sorted(found.items()))


def _content(kinds: Mapping[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    return {media: {} if kind is bytes else {"schema": schema(kind, parts)} for media, kind in kinds.items()}


def _first_line(error: type[WorkerError]) -> str:
    if error is WorkerError:
        return "A fault of this worker; its log says why."
    return (error.__doc__ or "").splitlines()[0]
