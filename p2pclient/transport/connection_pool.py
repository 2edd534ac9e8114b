"""Connections that are kept, but not for ever: each has an age at which it is replaced by a new one.

A client that stays on its old connections never meets what a name or a load balancer has come to mean
since. The age is jittered, so that connections opened together do not end together (source: gRPC A9).
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

KEEP_ALIVE_S = 15.0
"""Idle connections are kept shorter than servers do (60 s and more), so that it is seldom the server that
hangs up first."""

AGE_MIN_S, AGE_MAX_S = 60.0, 300.0

reused: ContextVar[bool] = ContextVar("reused", default=False)
"""Whether the request that is being sent from here got a connection that had carried one before."""


class AgingConnector(aiohttp.TCPConnector):
    """aiohttp's connector, whose connections are closed between two requests once they are old enough."""

    def __init__(self, *, tls: ssl.SSLContext | bool) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=tls)
        self._ends_s: MutableMapping[ResponseHandler, float] = WeakKeyDictionary()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """A kept connection that is not too old, or a new one."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None, "a connection just handed out is open"
            ends_s = self._ends_s.get(protocol)
            now_s = time.monotonic()
            if ends_s is None:
                self._ends_s[protocol] = now_s + random.uniform(AGE_MIN_S, AGE_MAX_S)
            elif now_s >= ends_s:
                connection.close()
                continue
            reused.set(ends_s is not None)
            return connection
