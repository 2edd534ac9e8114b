"""Sends fragments of HTTP requests over a bare connection, and collects what the server answers."""

from __future__ import annotations

import asyncio
import contextlib
import re

SENTINEL = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
TURN_S, SILENT_TURNS = 0.01, 20
"""So many turns of the event loop, which the server shares, without a byte: a busy machine only makes them longer."""


async def conversation(port: int, fragments: list[bytes]) -> tuple[bytes, bool]:
    """All bytes that the server sends after these fragments, each sent by itself, and whether it then closes.

    A request without an end (a body that does not come) leaves the server waiting: silence ends the exchange then.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = bytearray()
    listening = asyncio.create_task(_listen(reader, said))
    try:
        for fragment in [*fragments, SENTINEL]:
            if listening.done():  # more bytes would cause a reset, which destroys what the server has sent
                break
            writer.write(fragment)
            await asyncio.sleep(0.002)  # lets the server read this one before the next arrives
        await listening
        return bytes(said), listening.result()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(port: int, *requests: bytes) -> None:
    """Send whole requests over one connection, each when the one before it has been answered; however long it takes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for request in requests:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
            assert length is not None, head
            await reader.readexactly(int(length[1]))
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _listen(reader: asyncio.StreamReader, said: bytearray) -> bool:
    """Collect what the server sends; True if it closed, False if it fell silent."""
    reading, silent_turns = asyncio.create_task(reader.read(1 << 16)), 0
    try:
        while silent_turns < SILENT_TURNS:
            done, _ = await asyncio.wait((reading,), timeout=TURN_S)
            silent_turns = 0 if done else silent_turns + 1
            if done:
                if not (chunk := reading.result()):
                    return True
                said += chunk
                reading = asyncio.create_task(reader.read(1 << 16))
    except ConnectionError:  # closed with some of ours unread
        return True
    finally:
        reading.cancel()
    return False


def undated(said: bytes) -> bytes:
    """The bytes without the date and the request ids that the server made, which differ between any two answers."""
    said = re.sub(rb"X-Request-Id: [0-9a-f]{8}-[0-9a-f]+\r", b"X-Request-Id: made\r", said)
    return re.sub(rb"Date: [^\r]+", b"Date: now", said)
