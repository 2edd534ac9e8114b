"""Sends the summary as server-sent events: first the whole, then, as events named `changes`, what has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from registry.events.event_log import EventLog
from registry.lookup.operators.summary_text import ServiceText, changes, whole

STREAM = "text/event-stream"

PAUSE_S = 0.2
"""The shortest time between two texts: a fleet that changes all the time must not keep the process busy."""

LOOK_S = 1.0
"""After so long without an event the summary is made anew: what a check says may change without one."""

SILENT_S = 15.0
"""The time between two comments on a stream without changes: proxies close connections that are silent for longer."""


async def stream_summary(
    request: web.Request, summary: Callable[[], Mapping[str, ServiceText]], events: EventLog
) -> web.StreamResponse:
    """Answer with a stream that ends with `events`, or when the client leaves."""
    response = web.StreamResponse(headers={"Content-Type": STREAM, "Cache-Control": "no-store"})
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    last, sent, sent_s = events.last, summary(), loop.time()
    await response.write(f"retry: 1000\n\ndata: {whole(sent)}\n\n".encode())
    while not events.ended:
        await events.wait_after(last, timeout_s=LOOK_S)
        last, now = events.last, summary()
        text = changes(sent, now)
        sent = now
        if text:
            sent_s = loop.time()
            await response.write(f"event: changes\ndata: {text}\n\n".encode())
            await asyncio.sleep(PAUSE_S)
        elif loop.time() - sent_s >= SILENT_S:
            sent_s = loop.time()
            await response.write(b": alive\n\n")
    return response
