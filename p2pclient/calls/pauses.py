"""Waits that end when their time is over, with an event, or with ClientClosed when the client is closed."""

from __future__ import annotations

import asyncio
from collections import Counter

from p2pclient.errors import ClientClosed


class Pauses:
    """All of one client's waits for something other than an answer."""

    def __init__(self) -> None:
        self._closed = False
        self._waiting: Counter[asyncio.Event] = Counter()

    async def sleep(self, pause_s: float) -> bool:
        """Wait so many seconds; False, since there is no event to wait for. Raises ClientClosed."""
        return await self.wait(asyncio.Event(), pause_s)

    async def wait(self, event: asyncio.Event, limit_s: float) -> bool:
        """Wait for the event, so many seconds at most; whether it came. Raises ClientClosed."""
        self._waiting[event] += 1
        try:
            if not self._closed:
                async with asyncio.timeout(limit_s):
                    await event.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting[event] -= 1
            if not self._waiting[event]:
                del self._waiting[event]
        if self._closed:
            raise ClientClosed("the client was closed during the call")
        return True

    def close(self) -> None:
        """End every wait."""
        self._closed = True
        for event in tuple(self._waiting):
            event.set()
