"""A request without a connection, for what reads only its head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from multidict import CIMultiDict


class NoBody:
    """The body of a request that is not read."""

    def is_eof(self) -> bool:
        return True

    def read_nowait(self) -> bytes:
        return b""

    async def readany(self) -> bytes:
        return b""


@dataclass
class PlainPost:
    """A `POST` of 35,000 bytes; an `IncomingRequest`."""

    path: str = "/"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=CIMultiDict[str])
    match_info: Mapping[str, str] = field(default_factory=dict)
    content_length: int | None = 35_000
    method: str = "POST"
    remote: str | None = None
    content: NoBody = field(default_factory=NoBody)
    stored: dict[Any, Any] = field(default_factory=dict)

    def get(self, key: Any, default: Any, /) -> Any:
        return self.stored.get(key, default)

    def __setitem__(self, key: Any, value: Any, /) -> None:
        self.stored[key] = value


def with_header(ticket: str, **changes: Any) -> PlainPost:
    """A request that sends the ticket as a header."""
    return PlainPost(headers=CIMultiDict(Authorization=f"Bearer {ticket}"), **changes)


def with_query(ticket: str, **changes: Any) -> PlainPost:
    """A request that sends the ticket in its query."""
    return PlainPost(query={"ticket": ticket}, **changes)
