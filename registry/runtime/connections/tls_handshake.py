"""The beginning of each connection to a TLS port: a handshake within bounds, then the server's own protocol.

asyncio tells a server of a TLS connection when its handshake is complete, so that handshakes which never are would
take files without being counted. Here a connection counts from its first moment, and gives way as an idle one does.
A client that speaks plain HTTP is told so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from registry.runtime.connections.open_connections import Connections
from registry.runtime.tls.server import ServerTls

logger = logging.getLogger(__name__)

HANDSHAKE_AT_MOST_S = 10.0
"""From the connection to the end of the handshake."""

SHUTDOWN_AT_MOST_S = 2.0
"""For the client's answer to our end of the encrypted stream."""

_HANDSHAKE_RECORD = 0x16
"""The first byte of a TLS connection (RFC 8446, 5.1)."""

_SENTENCE = b"This port speaks TLS: use https:// in place of http://.\n"
_SPEAK_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_SENTENCE), _SENTENCE)
)

MakeProtocol = Callable[[], asyncio.Protocol]


@asynccontextmanager
async def encrypted(make: MakeProtocol, tls: ServerTls | None, connections: Connections) -> AsyncIterator[MakeProtocol]:
    """Makes the protocols of a TLS port's connections, each of which becomes one of `make` after its handshake.

    Those that are in a handshake are among `connections`, and end with the context. Without `tls`: `make` itself.
    """
    if tls is None:
        yield make
        return
    begun: set[TlsHandshake] = set()
    try:
        yield lambda: TlsHandshake(make, tls, connections, begun)
    finally:
        for handshake in tuple(begun):
            await handshake.end()


class TlsHandshake(asyncio.Protocol):
    """One connection until its handshake is complete; it has the interface of the bounded connections."""

    idle = True

    def __init__(self, make: MakeProtocol, tls: ServerTls, connections: Connections, begun: set[TlsHandshake]) -> None:
        self.used = False
        self._loop = asyncio.get_running_loop()
        self._make = make
        self._tls = tls
        self._connections = connections
        self._begun = begun
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._refused = False  # as plain HTTP
        self._received = b""  # first the encrypted bytes that came before TLS began, then those that were decrypted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; called by the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._timer = self._loop.call_later(HANDSHAKE_AT_MOST_S, self.abort)
        self._begun.add(self)
        self._connections.opened(self)

    def data_received(self, data: bytes) -> None:
        """The client's first bytes, or the first decrypted ones; called by the transport."""
        if self._task is not None:
            self._received += data
        elif self._transport is None or self._refused:
            return
        elif data[0] == _HANDSHAKE_RECORD:
            self._transport.pause_reading()
            self._received = data
            self._task = self._loop.create_task(self._shake_hands())
            # `start_tls` begins with the task's first step, and its protocol with the turn of the loop after that.
            self._loop.call_soon(self._loop.call_soon, self._feed)
        else:
            self._refused = True
            self._transport.write(_SPEAK_TLS)
            self._transport.write_eof()  # not closed: bytes that nobody reads would reset the connection

    def _feed(self) -> None:
        """Hand what came before TLS began to the transport's new protocol, as the transport would."""
        if self._transport is None or self._transport.is_closing():
            return
        tls = cast(asyncio.BufferedProtocol, self._transport.get_protocol())  # set by start_tls
        data, self._received = self._received, b""
        while data and not self._transport.is_closing():
            buffer = memoryview(tls.get_buffer(len(data)))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            tls.buffer_updated(size)
            data = data[size:]

    async def _shake_hands(self) -> None:
        """Begin TLS; afterwards the connection is the server's protocol's."""
        assert self._transport is not None, "it is made"
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                self._tls.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_AT_MOST_S,
                ssl_shutdown_timeout=SHUTDOWN_AT_MOST_S,
            )
        except OSError as error:  # those of TLS among them
            logger.debug("A TLS handshake failed: %s", error)
            self._end()
            return
        if not self._end() or transport is None or transport.is_closing():
            return  # the client has gone, of which a transport tells nobody before its handshake is complete
        protocol = self._make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._received:
            protocol.data_received(self._received)

    async def end(self) -> None:
        """End the connection at once, and return when it has ended."""
        self.abort()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def _end(self) -> bool:
        """It is no handshake any more; whether it still was one."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is None:
            return False
        self._transport = None
        self._begun.discard(self)
        self._connections.closed(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended; called by the transport."""
        self._end()

    def begin_draining(self) -> None:
        """The server stops: the handshake goes on, and the protocol after it ends with its first response."""

    def unsent_bytes(self) -> int:
        """Nothing but the handshake waits to be sent."""
        return 0

    def taken_bytes(self) -> int:
        """Nothing is sent, so nothing is taken."""
        return 0

    def force_close(self) -> None:
        """End the connection, because it gives way to another one."""
        self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
