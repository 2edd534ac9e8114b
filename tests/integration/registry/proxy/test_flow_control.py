"""The proxy holds no body: what comes in goes out, and where it cannot go out, no more is taken in."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.lookups.running_proxy import connect, proxy, scripted
from tests.support.waiting import until

BODY_BYTES = 256 << 20
IN_FLIGHT_AT_MOST = 80 << 20
"""What the kernel may hold on two loopback connections where its buffers are large (Linux grows them)."""

HELD_AT_MOST = 4 << 20
"""All that this process may hold of it, the proxy's part among it: measured 1.3 MB."""

CHUNK = bytes(1 << 16)


async def push(writer: asyncio.StreamWriter, sent: list[int]) -> None:
    """Send the body as fast as it is taken; `sent` are the sizes of what was."""
    for _ in range(BODY_BYTES // len(CHUNK)):
        writer.write(CHUNK)
        await writer.drain()
        sent.append(len(CHUNK))


async def taken(reader: asyncio.StreamReader) -> int:
    """Read all of the body; how much it was."""
    size = 0
    while size < BODY_BYTES:
        size += len(await reader.read(1 << 20))
    return size


@contextmanager
def few_bytes_held() -> Iterator[None]:
    """That at no moment of the block more than HELD_AT_MOST was held in new memory."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < HELD_AT_MOST
    finally:
        tracemalloc.stop()


def settled(sent: list[int], *, for_s: float = 0.3) -> Callable[[], bool]:
    """A condition: something was sent, and then nothing for so long."""
    last = (0, time.monotonic())

    def check() -> bool:
        nonlocal last
        if len(sent) != last[0]:
            last = (len(sent), time.monotonic())
        return len(sent) > 0 and time.monotonic() - last[1] > for_s

    return check


async def test_a_worker_that_does_not_read_stops_the_client() -> None:
    """Of 256 MB only a few leave the client until the worker reads, and then all of it."""
    reads, sizes, sent = asyncio.Event(), [], []

    async def lazy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reads.wait()
        sizes.append(await taken(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with scripted(lazy) as port, proxy(port) as url:
        reader, writer = await connect(url)
        writer.write(f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY_BYTES}\r\n\r\n".encode())
        with few_bytes_held():
            pushing = asyncio.create_task(push(writer, sent))
            await until(settled(sent))
        assert 0 < sum(sent) < IN_FLIGHT_AT_MOST
        reads.set()
        await asyncio.wait_for(pushing, 60)
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 10)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert sizes == [BODY_BYTES]
        writer.close()


async def test_a_client_that_does_not_read_stops_the_worker() -> None:
    """Of 256 MB only a few leave the worker until the client reads, and then all of it."""
    sent: list[int] = []

    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n".encode())
        await push(writer, sent)

    async with scripted(eager) as port, proxy(port) as url:
        reader, writer = await connect(url)
        with few_bytes_held():
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await until(settled(sent))
        assert 0 < sum(sent) < IN_FLIGHT_AT_MOST
        await reader.readuntil(b"\r\n\r\n")
        assert await asyncio.wait_for(taken(reader), 60) == BODY_BYTES
        writer.close()


async def test_pieces_pass_as_they_come() -> None:
    """A conversation in one request: each piece of body is answered before the next one is sent."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
        for _ in range(3):
            writer.write(await reader.readexactly(10))

    async with scripted(echo) as port, proxy(port) as url:
        reader, writer = await connect(url)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n")
        async with asyncio.timeout(10):
            await reader.readuntil(b"\r\n\r\n")
            for piece in (b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"):
                writer.write(piece)
                assert await reader.readexactly(10) == piece
        writer.close()
