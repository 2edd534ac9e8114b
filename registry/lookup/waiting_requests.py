"""Bounds the requests that wait for something to change: their connections must leave room for lookups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from registry.web.refusal import Refusal

WAITING_AT_MOST = 10_000


class WaitingRequests:
    """The long polls and event streams of one process, of which there may be `at_most`."""

    def __init__(self, *, at_most: int = WAITING_AT_MOST) -> None:
        self._at_most = at_most
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """A request waits while the context is open. Raises Refusal where too many do."""
        if self._count >= self._at_most:
            raise Refusal(503, f"{self._count} requests wait for a change already, the most there may be.", again=True)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
