"""`Route`: one path of a worker, from which the application is built and `/openapi.json` is generated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp.typedefs import Handler

from worker import errors

JSON = "application/json"
BYTES = "application/octet-stream"
FORM = "multipart/form-data"
TEXT = "text/plain"

OPERATION = "operation"
"""The tag of the paths that belong to no protocol: health, metrics, the description."""

PREDICTING = (
    errors.BadRequest,
    errors.NotFound,
    errors.TooSlow,
    errors.TooLarge,
    errors.NotAnImage,
    errors.Busy,
    errors.DeadlinePassed,
)
"""The errors of a path that predicts."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query or a header: `kind` is its JSON type, `pattern` a regular expression of its text."""

    name: str
    place: Literal["query", "header"]
    kind: str
    says: str
    pattern: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one `path` (in aiohttp's syntax).

    tag:     the protocol it belongs to
    answer:  media type -> type hint of the body with status 200; `bytes` for an opaque body; {} if there is no 200
    takes:   the same for the request's body; {} if it has none
    example: a JSON body that is answered with 200
    also:    other statuses of a healthy worker, with their meanings
    refuses: the errors that it may answer with, beside those of every path
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    tag: str
    summary: str
    answer: Mapping[str, Any]
    takes: Mapping[str, Any] = field(default_factory=dict)
    example: Any = None
    parameters: tuple[Parameter, ...] = ()
    also: Mapping[int, str] = field(default_factory=dict)
    refuses: tuple[type[errors.WorkerError], ...] = ()

    @property
    def plain_path(self) -> str:
        """The path without the patterns of its variables, as OpenAPI writes it."""
        return re.sub(r"\{(\w+):[^}]+\}", r"{\1}", self.path)


DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel in base64, for examples."""

TIMEOUT = Parameter(
    "P2P-Timeout-Ms", "header", "string", "What is left of the caller's deadline, in milliseconds.", "^[0-9]{1,11}$"
)
TIMINGS = Parameter(
    "timings", "query", "string", "Whatever it is: the header Server-Timing says how long each stage took."
)
TOP = Parameter("top", "query", "integer", "How many labels come at most, from 1 to 1000.")
VERSION = Parameter("version", "query", "string", "A version of the model; else the default.", example="1")
