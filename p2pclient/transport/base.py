"""What carries an exchange: one interface for the network (`http`) and for its stand-in in tests (`testing`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from yarl import URL

from p2pclient.messages import Answer


class ExchangeFailed(Exception):
    """The exchange did not lead to a whole answer; the text says why, in a few words.

    `silent_s`: no answer came within so many seconds; None: something else happened. `gone`: the connection
    failed. `unmet`: there never was one, so that no server has been burdened. `stale`: the connection failed before
    any answer and had been kept from an earlier request, so that the server may have closed it for having been idle.
    """

    def __init__(
        self,
        why: str,
        *,
        silent_s: float | None = None,
        gone: bool = False,
        unmet: bool = False,
        stale: bool = False,
    ) -> None:
        super().__init__(why)
        self.silent_s = silent_s
        self.gone = gone
        self.unmet = unmet
        self.stale = stale


class Transport(Protocol):
    """Carries one client's requests to servers and brings their answers back."""

    async def exchange(
        self, method: str, url: URL, *, headers: Mapping[str, str], timeout_s: float, body: bytes | None = None
    ) -> Answer:
        """Send one request and read the whole answer, both within `timeout_s`.

        Raises ExchangeFailed if there is none, ClientClosed once the transport is closed.
        """
        ...

    async def close(self) -> None:
        """Close every connection; exchanges under way end with ClientClosed."""
        ...
