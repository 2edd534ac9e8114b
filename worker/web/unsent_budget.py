"""The bytes of responses that wait to be sent, over all connections: a bound on what clients that do not read may hold.

Only connections whose client reads more slowly than it is answered are known here. Where they would hold more than
the bound, the one that holds most loses its connection.
"""

from __future__ import annotations

from typing import Protocol

UNSENT_BYTES_AT_MOST = 64 << 20


class SendingTransport(Protocol):
    """A transport with bytes that its client has not taken yet."""

    def get_write_buffer_size(self) -> int:
        """The number of those bytes."""

    def abort(self) -> None:
        """Close the connection at once and forget them."""


class UnsentBudget:
    """The connections that have unsent bytes; a single one may exceed the bound, so that every response can be sent."""

    def __init__(self, most_bytes: int = UNSENT_BYTES_AT_MOST) -> None:
        self._most_bytes = most_bytes
        self._sizes: dict[SendingTransport, int] = {}  # as they were when the connection was last looked at
        self._total = 0

    @property
    def held_bytes(self) -> int:
        """At least the bytes that wait to be sent."""
        return self._total

    def add(self, transport: SendingTransport) -> None:
        """A connection has unsent bytes; may be called again when they are more."""
        self._set(transport, transport.get_write_buffer_size())
        if self._total > self._most_bytes:
            for each in tuple(self._sizes):
                self._set(each, each.get_write_buffer_size())
        while self._total > self._most_bytes and len(self._sizes) > 1:
            largest = max(self._sizes, key=self._sizes.__getitem__)
            self.remove(largest)
            largest.abort()

    def remove(self, transport: SendingTransport) -> None:
        """A connection has sent everything, or has ended."""
        self._total -= self._sizes.pop(transport, 0)

    def _set(self, transport: SendingTransport, size: int) -> None:
        self._total += size - self._sizes.get(transport, 0)
        self._sizes[transport] = size
