"""An answer in JSON, before it is known how it will be written: by aiohttp, or as plain bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

CONTENT_TYPE = "application/json; charset=utf-8"


@dataclass(slots=True)
class Answer:
    """A status, a body, and the headers beside those that every answer has; `closing` ends the connection."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    closing: bool = False

    def force_close(self) -> None:
        """End the connection after it, as aiohttp's responses have it."""
        self.closing = True


def as_response(answer: Answer) -> web.Response:
    """The same for aiohttp to write."""
    headers = {**answer.headers, "Content-Type": CONTENT_TYPE}
    response = web.Response(status=answer.status, body=answer.body, headers=headers)
    if answer.closing:
        response.force_close()
    return response
