"""What is read of a request, on whichever road it came: aiohttp's own requests are such, and so are plain ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Content(Protocol):
    """A body on its way in: some of it may be here, some may still come."""

    def is_eof(self) -> bool:
        """Whether the last byte of it has come, read or not."""

    def read_nowait(self) -> bytes:
        """What has come and was not read yet; b"" if that is nothing."""

    async def readany(self) -> bytes:
        """The next bytes, waited for; b"" at the end."""


class Asked(Protocol):
    """One request; the names of `headers` are found in any case, `query` is without its percent signs."""

    @property
    def method(self) -> str:
        """GET, POST and so on."""

    @property
    def path(self) -> str:
        """What is asked for, without the query."""

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""

    @property
    def content_length(self) -> int | None:
        """How many bytes the body will have, where the request says so."""

    @property
    def content(self) -> Content:
        """The body."""
