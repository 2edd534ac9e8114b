"""Answers a request without using its body: sends the response first, then reads and discards the body.

A client that waits for `100 Continue` then never sends its body. A client that sends it all the same must be allowed
to finish, within bounds: closing the connection at once would reset it and destroy the response before the client has
read it (RFC 9112, 9.6).
"""

from __future__ import annotations

import asyncio

from aiohttp import web

DISCARD_AT_MOST_BYTES = 64 << 20
"""Twice the default of a worker's `--max-body`."""

DISCARD_AT_MOST_S = 10.0


async def respond_and_discard_body(request: web.BaseRequest, response: web.Response) -> web.Response:
    """Send `response` at once, then read and discard the body; beyond the bounds, close the connection."""
    if request.headers.get("Expect"):
        # The client may send its body or not: the next request can be told from a body only on a new connection.
        response.force_close()
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return response  # the client is gone
    await discard_body(request)
    return response


async def discard_body(request: web.BaseRequest) -> None:
    """Read the rest of the body and discard it; beyond the bounds, close the connection."""
    content, discarded = request.content, 0
    try:
        async with asyncio.timeout(DISCARD_AT_MOST_S):
            while not content.at_eof() and discarded < DISCARD_AT_MOST_BYTES:
                discarded += len(await content.readany())
    except (TimeoutError, OSError, web.RequestPayloadError):
        pass
    if not content.at_eof():
        request.protocol.force_close()
