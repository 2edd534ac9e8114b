"""A connection of the lookup service: the fast path answers plain requests, aiohttp all others."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from registry.lookup.answered_lookup import AnsweredLookup, log_lookup, trace_lookup
from registry.lookup.fast_path import FastPath, Lookups
from registry.runtime.connections.open_connections import Connections
from registry.runtime.connections.request_handler import BoundedConnection
from registry.runtime.request_id import HEADER as REQUEST_ID
from registry.runtime.request_id import without_request_id
from registry.runtime.tracing.trace_context import without_trace_context


class LookupConnection(BoundedConnection):
    """aiohttp's connection handler with the fast path in front of it."""

    __slots__ = ("_active", "_answer", "_fast", "_local_address", "_lookups", "_plain")

    def __init__(self, server: web.Server, fast: FastPath, connections: Connections, **options: Any) -> None:
        super().__init__(server, connections, **options)
        self._fast = fast
        noted = fast.access_log is not None or fast.tracing is not None
        self._answer = self._answer_and_note if noted else fast.answer
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

    def _answer_and_note(self, data: bytes, lookups: Lookups, local_address: str) -> bytes | None:
        """The fast path's answer; the access log gets a line of it, and the traces a span, if they want one."""
        fast = self._fast
        text, parent, traced = data, None, False
        if fast.tracing is not None:
            if data in lookups:  # a known text holds no trace, and need not be searched
                traced = fast.tracing.begins()
            else:
                text, parent = without_trace_context(data)
                traced = fast.tracing.wants(parent)
        logged = fast.access_log is not None and fast.access_log.wants()
        if not (logged or traced):
            return fast.answer(text, lookups, local_address)
        since_s, since_ns = time.perf_counter(), time.time_ns()
        text, request_id = without_request_id(text)
        if logged and not request_id:
            request_id = fast.request_ids.new()
        identified = _with_request_id(text, request_id) if request_id else text
        response = fast.answer_and_name(identified, lookups, local_address)
        if response is None:
            return None
        worker = None if fast.named is None else fast.named.address
        answered = AnsweredLookup(text, response, request_id, worker, self._client(), since_ns)
        trace_id = None
        if traced and fast.tracing is not None:
            trace_id = fast.last_trace_id = trace_lookup(fast.tracing, answered, parent, scheme=self._scheme())
        if logged and fast.access_log is not None:
            log_lookup(fast.access_log, answered, took_s=time.perf_counter() - since_s, trace_id=trace_id)
        return response

    def _client(self) -> str | None:
        peer = self.transport.get_extra_info("peername") if self.transport is not None else None
        return str(peer[0]) if isinstance(peer, tuple) else None

    def _scheme(self) -> str:
        tls = self.transport is not None and self.transport.get_extra_info("sslcontext") is not None
        return "https" if tls else "http"

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


def _with_request_id(head: bytes, request_id: str) -> bytes:
    return head.replace(b"\r\n\r\n", f"\r\n{REQUEST_ID}: {request_id}\r\n\r\n".encode(), 1)
