"""A connection of the lookup service: the fast path answers plain requests, aiohttp all others."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from registry.lookup.fast_path import FastPath, Lookups
from registry.runtime.connections.open_connections import Connections
from registry.runtime.connections.request_handler import BoundedConnection
from registry.runtime.request_id import HEADER as REQUEST_ID
from registry.runtime.request_id import without_request_id


class LookupConnection(BoundedConnection):
    """aiohttp's connection handler with the fast path in front of it."""

    __slots__ = ("_active", "_answer", "_fast", "_local_address", "_lookups", "_plain")

    def __init__(self, server: web.Server, fast: FastPath, connections: Connections, **options: Any) -> None:
        super().__init__(server, connections, **options)
        self._fast = fast
        self._answer = fast.answer if fast.access_log is None else self._answer_and_log
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
            response = self._answer(data, self._lookups, self._local_address)
            if response is not None:
                assert self.transport is not None
                self.transport.write(response)
                self.used = self._active = True
                return
            self._plain = False
        super().data_received(data)

    def _answer_and_log(self, data: bytes, lookups: Lookups, local_address: str) -> bytes | None:
        """The fast path's answer; the access log gets a line of it if it wants one."""
        log = self._fast.access_log
        if log is None or not log.wants():
            return self._fast.answer(data, lookups, local_address)
        since_s = time.perf_counter()
        text, request_id = without_request_id(data)
        request_id = request_id or self._fast.request_ids.new()
        identified = text.replace(b"\r\n\r\n", f"\r\n{REQUEST_ID}: {request_id}\r\n\r\n".encode(), 1)
        response = self._fast.answer(identified, lookups, local_address)
        if response is not None:
            peer = self.transport.get_extra_info("peername") if self.transport is not None else None
            log.write(
                method="GET",
                path=data.split(b" ", 2)[1].partition(b"?")[0].decode(),
                status=200,
                size=len(response) - response.index(b"\r\n\r\n") - 4,
                took_s=time.perf_counter() - since_s,
                request_id=request_id,
                worker=None if self._fast.named is None else self._fast.named.address,
                client=str(peer[0]) if isinstance(peer, tuple) else None,
            )
        return response

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
