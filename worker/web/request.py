"""A request as the protocols read it: both aiohttp's own requests and those of the fast path have this interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from aiohttp import web

T = TypeVar("T")


class RequestBody(Protocol):
    """A body while it arrives: part of it may have arrived, the rest may follow."""

    def is_eof(self) -> bool:
        """Whether its last byte has arrived, read or not."""

    def read_nowait(self) -> bytes:
        """The bytes that have arrived and were not read yet; b"" if there are none."""

    async def readany(self) -> bytes:
        """Wait for the next bytes; b"" at the end."""


class IncomingRequest(Protocol):
    """One request; names in `headers` are found in any case, `query` is percent-decoded."""

    @property
    def method(self) -> str:
        """GET, POST and so on."""

    @property
    def path(self) -> str:
        """The path, without the query."""

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""

    @property
    def match_info(self) -> Mapping[str, str]:
        """The variables of the path."""

    @property
    def remote(self) -> str | None:
        """The IP address of the client, where it is known."""

    @property
    def content_length(self) -> int | None:
        """The length of the body in bytes, where the request states it."""

    @property
    def content(self) -> RequestBody:
        """The body."""

    def get(self, key: web.RequestKey[T], default: T, /) -> T:
        """What was stored with the request under this key; `default` if nothing was."""

    def __setitem__(self, key: web.RequestKey[T], value: T, /) -> None:
        """Store a value with the request."""
