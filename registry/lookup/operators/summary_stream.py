"""Sends a text over and over as server-sent events: now, and whenever it has become another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from registry.events.event_log import EventLog

STREAM = "text/event-stream"

PAUSE_S = 0.2
"""The shortest time between two texts: a fleet that changes all the time must not keep the process busy."""

LOOK_S = 1.0
"""After so long without an event the text is made anew: what a check says may change without one."""

SILENT_S = 15.0
"""The time between two comments on a stream without changes: proxies close connections that are silent for longer."""


async def stream_changes(request: web.Request, text: Callable[[], str], events: EventLog) -> web.StreamResponse:
    """Answer with a stream that ends with `events`, or when the client leaves."""
    response = web.StreamResponse(headers={"Content-Type": STREAM, "Cache-Control": "no-store"})
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    sent, sent_s = "", loop.time()
    await response.write(b"retry: 1000\n\n")
    while not events.ended:
        last, now = events.last, text()
        if now != sent:
            sent, sent_s = now, loop.time()
            await response.write(f"data: {now}\n\n".encode())
            await asyncio.sleep(PAUSE_S)
        elif loop.time() - sent_s >= SILENT_S:
            sent_s = loop.time()
            await response.write(b": alive\n\n")
        await events.wait_after(last, timeout_s=LOOK_S)
    return response
