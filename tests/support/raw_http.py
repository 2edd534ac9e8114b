"""Raw talk with an HTTP server: what it says to fragments of requests, and whether it then closes."""

from __future__ import annotations

import asyncio
import contextlib
import re

SENTINEL = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SILENCE_S = 0.2


async def conversation(port: int, fragments: list[bytes]) -> tuple[bytes, bool]:
    """All that the server says to these fragments, each sent by itself, and whether it then closes.

    A request that never ends (a body that does not come) leaves it waiting: silence is the end then.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = bytearray()
    listening = asyncio.create_task(_listen(reader, said))
    try:
        for fragment in [*fragments, SENTINEL]:
            if listening.done():  # more would only be met with a reset, which destroys what was said
                break
            writer.write(fragment)
            await asyncio.sleep(0.002)  # lets the server read this one before the next arrives
        await listening
        return bytes(said), listening.result()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _listen(reader: asyncio.StreamReader, said: bytearray) -> bool:
    """Collect what is said; whether the server closed, or fell silent."""
    try:
        while True:
            async with asyncio.timeout(SILENCE_S):
                chunk = await reader.read(1 << 16)
            if not chunk:
                return True
            said += chunk
    except TimeoutError:
        return False
    except ConnectionError:  # closed with some of ours unread
        return True


def undated(said: bytes) -> bytes:
    """What was said, without what differs between any two moments."""
    return re.sub(rb"Date: [^\r]+", b"Date: now", said)
