"""Connections that are kept between requests, and whether the one that a request got had carried another before."""

from __future__ import annotations

import ssl
from collections.abc import MutableSet
from contextvars import ContextVar
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

KEEP_ALIVE_S = 15.0
"""Idle connections are kept for less time than servers keep them (60 s and more), so that it is seldom the server
that closes first."""

reused: ContextVar[bool] = ContextVar("reused", default=False)
"""Whether the request that is being sent from here got a connection that had carried one before."""


class ConnectionPool(aiohttp.TCPConnector):
    """aiohttp's pool without a limit, which sets `reused` for each request. `tls` is what https is verified with."""

    def __init__(self, *, tls: ssl.SSLContext | bool) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=tls)
        self._used: MutableSet[ResponseHandler] = WeakSet()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """A kept connection, or a new one."""
        connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        assert protocol is not None, "a connection just handed out is open"
        known = protocol in self._used
        reused.set(known)
        if not known:
            self._used.add(protocol)
        return connection
