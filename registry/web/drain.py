"""An answer to a request whose body nobody will read.

The answer goes first. A client that waits for `100 Continue` never sends its body then; one that sends it all
the same must be let finish, within bounds: closing on it would reset the connection and destroy the answer
before the client reads it (RFC 9112, 9.6).
"""

from __future__ import annotations

import asyncio

from aiohttp import web

DROP_AT_MOST_BYTES = 64 << 20
"""Twice what a worker takes unless told otherwise (`p2p worker --max-body`)."""

DROP_AT_MOST_S = 10.0


async def answer_unread(request: web.BaseRequest, response: web.Response) -> web.Response:
    """Send `response` at once, then read and drop what comes of the body; beyond the bounds, hang up."""
    if request.headers.get("Expect"):
        # The client may now keep its body or send it: only a closed connection leaves no doubt which.
        response.force_close()
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return response  # the client is gone
    await drop_body(request)
    return response


async def drop_body(request: web.BaseRequest) -> None:
    """Read what is left of the body and forget it; beyond the bounds, hang up."""
    content, dropped = request.content, 0
    try:
        async with asyncio.timeout(DROP_AT_MOST_S):
            while not content.at_eof() and dropped < DROP_AT_MOST_BYTES:
                dropped += len(await content.readany())
    except (TimeoutError, OSError, web.RequestPayloadError):
        pass
    if not content.at_eof():
        request.protocol.force_close()
