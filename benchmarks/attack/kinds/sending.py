"""How attackers send: at a rate, over plain sockets, from an address of their own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

from benchmarks.harness.connections import complete_status

HOST = "127.0.0.1"
STRANGER = "127.0.0.66"
"""The address from which attackers connect, so that bounds for each address meet them and nobody else."""

SMALL_SEGMENT_BYTES = 536
"""With segments of this size the server's kernel buffers little of what a client does not read."""

_READ_BYTES = 64 << 10


async def paced(per_s: float) -> AsyncIterator[int]:
    """The numbers from 0, at most so many of them per second; what is late is not made up for."""
    number, due_s = 0, time.perf_counter()
    while True:
        yield number
        number += 1
        due_s = max(due_s + 1 / per_s, time.perf_counter())
        await asyncio.sleep(due_s - time.perf_counter())


async def connect(port: int, *, receive_bytes: int = 0) -> socket.socket:
    """A connection; with `receive_bytes` the kernels on both sides buffer little of what is not read."""
    made = socket.socket()
    try:
        made.setblocking(False)
        made.bind((STRANGER, 0))
        if receive_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT_BYTES)
        await asyncio.get_running_loop().sock_connect(made, (HOST, port))
    except BaseException:
        made.close()
        raise
    return made


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[socket.socket]:
    """A connection that is closed at the end of the block."""
    made = await connect(port)
    try:
        yield made
    finally:
        made.close()


async def exchange(port: int, *parts: bytes, within_s: float = 30.0) -> str:
    """Send a request, one part after the other, over a connection of its own; the status, or the name of an error."""
    loop, received = asyncio.get_running_loop(), bytearray()
    try:
        async with asyncio.timeout(within_s), connected(port) as made:
            with contextlib.suppress(ConnectionError):  # a refusal may come before everything is sent
                for part in parts:
                    await loop.sock_sendall(made, part)
                    await asyncio.sleep(0.01)  # so that each part arrives by itself
            while data := await loop.sock_recv(made, _READ_BYTES):
                received += data
                if status := complete_status(received):
                    return str(status)
            return str(complete_status(received, closed=True) or "closed")
    except (OSError, TimeoutError) as error:
        return type(error).__name__


def get(path: str, *headers: str) -> bytes:
    """A GET request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {HOST}", *headers, "", ""]).encode()


def put_json(path: str, body: str) -> bytes:
    """A PUT request of a JSON body, which may hold anything."""
    content = body.encode("utf-8", "surrogatepass")
    head = f"PUT {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
