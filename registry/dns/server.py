"""The DNS server: receives queries over UDP and TCP, has the resolver answer them, and sends the answers.

Everything that clients can use up is bounded here: connections, the time that one may be idle, and the queries that
wait for the first answer of Consul for a service.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, cast

from registry.backend.source import Source
from registry.dns.message import Query, read
from registry.dns.resolver import FollowedService, Resolver, Services
from registry.runtime.errors import RegistryError, SettingsError
from registry.runtime.listen import bind, port_of, reserve
from registry.runtime.tasks.backoff import backoff_s
from registry.runtime.tasks.supervise import supervised
from registry.settings import RegistrySettings

logger = logging.getLogger(__name__)

FLAG = "--dns-port"

WAITING_AT_MOST = 100
"""Queries over UDP that wait for Consul at a time; any more are answered with SERVFAIL at once."""

IDLE_S = 10.0
"""A connection is closed after so long without a whole query, or with an answer that cannot be sent (RFC 7766)."""

CONNECTIONS_AT_MOST = 256
"""Where all are taken, the one that has waited for longest for a query gives way to a new one."""

_PORTS_TRIED = 20


@asynccontextmanager
async def serving_dns(services: Services, source: Source, settings: RegistrySettings) -> AsyncIterator[int | None]:
    """DNS on `settings.dns_port` while the context is open; gives the port, or None where `dns_port` is None.

    Raises SettingsError where the port cannot be bound.
    """
    if settings.dns_port is None:
        yield None
        return
    tcp, udp = _bind_both(settings.host, settings.dns_port, shared=settings.shared)
    resolver = Resolver(services)
    learn = partial(_learn_datacenter, resolver, source, settings)
    async with (
        supervised("learn the datacenter", learn),
        over_udp(resolver, udp),
        over_tcp(resolver, tcp),
    ):
        yield port_of(tcp)


@contextmanager
def held_for_processes(host: str, port: int | None) -> Iterator[list[str]]:
    """The arguments for processes that share the DNS port `port`, which is reserved while the context is open.

    Raises SettingsError where the port cannot be bound.
    """
    if port is None:
        yield []
        return
    tcp, udp = _bind_both(host, port, shared=False)
    number = port_of(tcp)
    udp.close()  # the kernel would send an open socket its share of the queries
    tcp.close()
    with reserve(host, number):
        yield [FLAG, str(number)]


@asynccontextmanager
async def over_udp(resolver: Resolver, sock: socket.socket) -> AsyncIterator[None]:
    """Answer datagrams that arrive at `sock` while the context is open; then close it."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagrams(resolver), sock=sock)
    try:
        yield
    finally:
        transport.close()
        await protocol.stop()


@asynccontextmanager
async def over_tcp(
    resolver: Resolver,
    sock: socket.socket,
    *,
    idle_s: float = IDLE_S,
    connections: int = CONNECTIONS_AT_MOST,
) -> AsyncIterator[None]:
    """Answer queries on connections to `sock` while the context is open; then close it and them."""
    streams = _Streams(resolver, idle_s=idle_s, connections=connections)
    server = await asyncio.start_server(streams.connected, sock=sock)
    try:
        yield
    finally:
        server.close()
        await streams.stop()


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram that holds a query with one datagram, or not at all."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._waiting: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def pause_writing(self) -> None:
        """The send buffer is full: answers are dropped, as a network would."""
        self._full = True

    def resume_writing(self) -> None:
        """The send buffer has room again."""
        self._full = False

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer the datagram, later where Consul has not answered for the service yet."""
        query = read(data)
        if not isinstance(query, Query):
            self._send(query, addr)
            return
        service = self._resolver.awaited_service(query)
        if service is None or len(self._waiting) >= WAITING_AT_MOST:
            self._send(self._resolver.answer(query, over_tcp=False), addr)
            return
        task = asyncio.create_task(self._answer_later(service, query, addr), name="answer a DNS query")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def stop(self) -> None:
        """Leave the queries that wait unanswered."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    async def _answer_later(self, service: FollowedService, query: Query, client: Any) -> None:
        await service.wait_until_known()
        self._send(self._resolver.answer(query, over_tcp=False), client)

    def _send(self, answer: bytes | None, client: Any) -> None:
        if answer is not None and self._transport is not None and not self._full:
            self._transport.sendto(answer, client)


class _Streams:
    """Answers the queries of each connection in order; two bytes before each query hold its length."""

    def __init__(self, resolver: Resolver, *, idle_s: float, connections: int) -> None:
        self._resolver = resolver
        self._idle_s = idle_s
        self._connections = connections
        self._tasks: set[asyncio.Task[None]] = set()
        self._without_query: dict[asyncio.Task[Any], None] = {}  # those that wait for one, for longest first

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Start answering on a new connection; an idle one, or else the new one, ends if there are too many."""
        if len(self._tasks) >= self._connections:
            idle = next(iter(self._without_query), None)
            if idle is None:
                writer.close()
                return
            del self._without_query[idle]
            idle.cancel()
        task = asyncio.create_task(self._serve(reader, writer), name="answer DNS on a connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client closes, stays silent too long, or sends what must not be answered."""
        try:
            with suppress(asyncio.IncompleteReadError):  # the client has closed the connection
                await self._answer_all(reader, writer)
            writer.close()
            async with asyncio.timeout(self._idle_s):
                await writer.wait_closed()
        except OSError:
            return  # clients that break off or stall are ordinary
        finally:
            writer.transport.abort()  # close() would wait for ever for a client that does not read

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            answer = await self._answer(await self._next_query(reader))
            if answer is None:
                return
            writer.write(len(answer).to_bytes(2, "big") + answer)
            async with asyncio.timeout(self._idle_s):
                await writer.drain()
            await asyncio.sleep(0)  # the next query may be there already, and others must have their turn

    async def _next_query(self, reader: asyncio.StreamReader) -> bytes:
        task = asyncio.current_task()
        assert task is not None, "each connection has one"
        self._without_query[task] = None
        try:
            async with asyncio.timeout(self._idle_s):
                length = int.from_bytes(await reader.readexactly(2), "big")
                return await reader.readexactly(length)
        finally:
            self._without_query.pop(task, None)

    async def _answer(self, wire: bytes) -> bytes | None:
        query = read(wire)
        if not isinstance(query, Query):
            return query
        service = self._resolver.awaited_service(query)
        if service is not None:
            await service.wait_until_known()
        return self._resolver.answer(query, over_tcp=True)


async def _learn_datacenter(resolver: Resolver, source: Source, settings: RegistrySettings) -> None:
    """Give the resolver the datacenter's name: the one in the settings, else that of the agent once it answers."""
    failures, chance, name = 0, random.Random(), settings.backend.datacenter
    while not name:
        try:
            name = await source.datacenter()
        except RegistryError as error:
            logger.debug("The datacenter's name: %s", error)
            await asyncio.sleep(backoff_s(failures, chance))
            failures += 1
    resolver.datacenter = name


def _bind_both(host: str, port: int, *, shared: bool) -> tuple[socket.socket, socket.socket]:
    """Sockets for TCP and UDP on the same port. Raises SettingsError where they cannot be bound."""
    for _ in range(_PORTS_TRIED):
        tcp = bind(host, port, flag=FLAG, shared=shared)
        udp = socket.socket(tcp.family, socket.SOCK_DGRAM)
        udp.setblocking(False)
        try:
            if shared:
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            udp.bind(tcp.getsockname())
        except OSError as error:
            tcp.close()
            udp.close()
            if port:
                reason = f"Port {port} on {host} cannot be bound for UDP ({error.strerror})"
                raise SettingsError(
                    f"{reason}: stop the program that holds it, or choose another with {FLAG}."
                ) from error
        else:
            return tcp, udp
    raise SettingsError(f"No port on {host} is free for both TCP and UDP: choose one with {FLAG}.")
