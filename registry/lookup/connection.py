"""A connection of the lookup service: the fast path answers plain requests, aiohttp all others."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from registry.lookup.fast_path import FastPath, Lookups
from registry.runtime.connections.open_connections import Connections
from registry.runtime.connections.request_handler import BoundedConnection


class LookupConnection(BoundedConnection):
    """aiohttp's connection handler with the fast path in front of it."""

    __slots__ = ("_active", "_fast", "_local_address", "_lookups", "_plain")

    def __init__(self, server: web.Server, fast: FastPath, connections: Connections, **options: Any) -> None:
        super().__init__(server, connections, **options)
        self._fast = fast
        self._plain = True
        self._active = False
        self._local_address = ""
        self._lookups: Lookups = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a connection, and remember at which address it arrived."""
        super().connection_made(transport)
        self._plain = not self.draining
        self._local_address = local_address(transport)
        self._lookups = self._fast.lookups_at(self._local_address)

    def begin_draining(self) -> None:
        """Leave the rest to aiohttp, whose responses close the connection."""
        self._plain = False

    def data_received(self, data: bytes) -> None:
        """Answer plain requests at once; hand everything else, and all that follows it, to aiohttp."""
        # aiohttp pauses a client that does not read its answers (_paused).
        if self._plain and not (self._paused or self._force_close or self._close):
            response = self._fast.answer(data, self._lookups, self._local_address)
            if response is not None:
                assert self.transport is not None
                self.transport.write(response)
                self.used = self._active = True
                return
            self._plain = False
        super().data_received(data)

    def _process_keepalive(self) -> None:
        """aiohttp's timer for idle connections: one on which the fast path has answered meanwhile is not idle."""
        if self._active:
            self._active = False
            self.restart_idle_time()
        super()._process_keepalive()


def local_address(transport: asyncio.BaseTransport | None) -> str:
    """The IP address of this end of a connection; "" where there is none."""
    name = transport.get_extra_info("sockname") if transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""
