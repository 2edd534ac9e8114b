"""The DNS port: queries come in over UDP and TCP, the resolver answers them, the answers go back.

Nothing a client sends or fails to send costs more than a bounded share: connections, the time one may idle,
and the queries that wait for Consul's first word on a service each have their number here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

from registry.consul.catalog import Catalog
from registry.discovery.watch import backoff_s
from registry.dns.message import Query, read
from registry.dns.resolver import Followed, Listing, Resolver
from registry.runtime.errors import RegistryError, SettingsError
from registry.runtime.listen import bind, port_of, reserve
from registry.settings import RegistrySettings

logger = logging.getLogger(__name__)

FLAG = "--dns-port"

FIRST_ANSWER_WAIT_S = 2.0
"""How long a query for a service that was never asked for waits for Consul; a client's patience is 5 s."""

WAITING_AT_MOST = 100
"""Queries over UDP that wait so; any more are answered at once, with SERVFAIL."""

IDLE_S = 10.0
"""A connection is closed on which for so long no whole query came or no answer could be sent (RFC 7766)."""

CONNECTIONS_AT_MOST = 256

_PORTS_TRIED = 20


@asynccontextmanager
async def answering_names(listing: Listing, catalog: Catalog, settings: RegistrySettings) -> AsyncIterator[int | None]:
    """DNS on `settings.dns_port`, from entry to exit; the port that was bound, None where DNS is not wanted.

    Raises SettingsError where the port cannot be had.
    """
    if settings.dns_port is None:
        yield None
        return
    tcp, udp = _bind_both(settings.host, settings.dns_port, shared=settings.shared)
    resolver = Resolver(listing)
    learning = asyncio.create_task(_learn_datacenter(resolver, catalog, settings), name="learn the datacenter")
    try:
        async with over_udp(resolver, udp), over_tcp(resolver, tcp):
            yield port_of(tcp)
    finally:
        learning.cancel()
        await asyncio.gather(learning, return_exceptions=True)


@contextmanager
def held_for_processes(host: str, port: int | None) -> Iterator[list[str]]:
    """The arguments that make several processes share the DNS port `port`, which stays taken until exit.

    Raises SettingsError where the port cannot be had.
    """
    if port is None:
        yield []
        return
    tcp, udp = _bind_both(host, port, shared=False)
    number = port_of(tcp)
    udp.close()  # for one that is held would get its share of the queries
    tcp.close()
    with reserve(host, number):
        yield [FLAG, str(number)]


@asynccontextmanager
async def over_udp(resolver: Resolver, sock: socket.socket) -> AsyncIterator[None]:
    """Answer datagrams that arrive at `sock`, which is closed at the end."""
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
    """Answer queries on connections to `sock`, which is closed at the end and they with it."""
    streams = _Streams(resolver, idle_s=idle_s, connections=connections)
    server = await asyncio.start_server(streams.connected, sock=sock)
    try:
        yield
    finally:
        server.close()
        await streams.stop()


class _Datagrams(asyncio.DatagramProtocol):
    """One query a datagram, one answer or none."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._waiting: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def pause_writing(self) -> None:
        """The system takes no more: answers are dropped, as a network would."""
        self._full = True

    def resume_writing(self) -> None:
        """It takes some again."""
        self._full = False

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A query, most likely."""
        query = read(data)
        if not isinstance(query, Query):
            self._send(query, addr)
            return
        service = self._resolver.unknown(query)
        if service is None or len(self._waiting) >= WAITING_AT_MOST:
            self._send(self._resolver.answer(query, over_tcp=False), addr)
            return
        task = asyncio.create_task(self._answer_later(service, query, addr), name="answer a DNS query")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def stop(self) -> None:
        """Let those that wait go unanswered."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    async def _answer_later(self, service: Followed, query: Query, client: Any) -> None:
        await service.known(timeout_s=FIRST_ANSWER_WAIT_S)
        self._send(self._resolver.answer(query, over_tcp=False), client)

    def _send(self, answer: bytes | None, client: Any) -> None:
        if answer is not None and self._transport is not None and not self._full:
            self._transport.sendto(answer, client)


class _Streams:
    """Any number of queries a connection, each behind its length in two bytes, answered in their order."""

    def __init__(self, resolver: Resolver, *, idle_s: float, connections: int) -> None:
        self._resolver = resolver
        self._idle_s = idle_s
        self._connections = connections
        self._tasks: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin to answer on a new connection, or close it if there are too many."""
        if len(self._tasks) >= self._connections:
            writer.close()
            return
        task = asyncio.create_task(self._converse(reader, writer), name="answer DNS on a connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client goes, stays silent too long, or sends what may not be answered."""
        try:
            with suppress(asyncio.IncompleteReadError):  # the client has said all it wants
                await self._answer_all(reader, writer)
            writer.close()
            async with asyncio.timeout(self._idle_s):
                await writer.wait_closed()
        except OSError:
            return  # a client that breaks off or stalls is everyday business
        finally:
            writer.transport.abort()  # closing alone would wait for ever for a client that does not read

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(self._idle_s):
                length = int.from_bytes(await reader.readexactly(2), "big")
                wire = await reader.readexactly(length)
            answer = await self._answer(wire)
            if answer is None:
                return
            writer.write(len(answer).to_bytes(2, "big") + answer)
            async with asyncio.timeout(self._idle_s):
                await writer.drain()

    async def _answer(self, wire: bytes) -> bytes | None:
        query = read(wire)
        if not isinstance(query, Query):
            return query
        service = self._resolver.unknown(query)
        if service is not None:
            await service.known(timeout_s=FIRST_ANSWER_WAIT_S)
        return self._resolver.answer(query, over_tcp=True)


async def _learn_datacenter(resolver: Resolver, catalog: Catalog, settings: RegistrySettings) -> None:
    """Tell the resolver the datacenter's name: the one that was set, or what the agent says when it can."""
    failures, chance, name = 0, random.Random(), settings.consul.datacenter
    while not name:
        try:
            name = await catalog.datacenter()
        except RegistryError as error:
            logger.debug("The datacenter's name: %s", error)
            await asyncio.sleep(backoff_s(failures, chance))
            failures += 1
    resolver.datacenter = name


def _bind_both(host: str, port: int, *, shared: bool) -> tuple[socket.socket, socket.socket]:
    """Sockets for TCP and UDP on the same port. Raises SettingsError where they cannot be had."""
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
