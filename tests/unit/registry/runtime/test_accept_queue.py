"""Connections in the queue of a listening socket are served when the socket closes, not reset."""

from __future__ import annotations

import asyncio
import socket

from registry.runtime.accept_queue import stop_accepting


class Echo(asyncio.Protocol):
    """Sends back what comes, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.close()


async def test_no_connection_is_reset() -> None:
    """Clients that connected and sent while the loop was busy are answered; later ones are refused."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    listener.setblocking(False)
    address = listener.getsockname()
    server = await loop.create_server(Echo, sock=listener, backlog=100)
    clients = [socket.create_connection(address) for _ in range(50)]  # the kernel makes these, no turn passes
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    await stop_accepting(server, listener, Echo)
    for number, client in enumerate(clients):
        client.setblocking(False)
        assert await asyncio.wait_for(loop.sock_recv(client, 10), 5) == b"%d" % number
        client.close()
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return
    raise AssertionError("a connection was made after the end")
