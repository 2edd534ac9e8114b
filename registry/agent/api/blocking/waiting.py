"""Requests that wait for a change: bounded over all clients and for each address, so that others are answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from registry.agent.errors import ApiError
from registry.agent.state.index import ChangeIndex, Topic

FROM_ONE_ADDRESS_AT_MOST = 1000
"""Consul allows 200 connections from an address (http_max_conns_per_client); here all clients share one machine."""

TOO_MANY = "Your IP is issuing too many concurrent connections, please rate limit your calls\n"
"""Consul's sentence."""


class WaitingRequests:
    """The requests that wait for a change, `at_most` at a time."""

    def __init__(self, changes: ChangeIndex, *, at_most: int) -> None:
        self._changes = changes
        self._at_most = at_most
        self._by_address: Counter[str] = Counter()

    async def wait(self, address: str, wait_s: float, waits_for: Callable[[], Topic | None]) -> None:
        """Return when `waits_for` gives None, after `wait_s`, or when the agent closes.

        `waits_for` gives the topic of which a change is waited for, and is called again after each change. `address`
        is the client's. Raises ApiError, 429, where too many requests wait.
        """
        topic, now_s = waits_for(), asyncio.get_running_loop().time
        if topic is None or self._changes.closed:
            return
        until_s = now_s() + wait_s
        with self._one_from(address):
            while topic is not None and not self._changes.closed and (left_s := until_s - now_s()) > 0:
                await self._changes.wait(topic, left_s)
                topic = waits_for()

    @contextmanager
    def _one_from(self, address: str) -> Iterator[None]:
        if self._by_address[address] >= FROM_ONE_ADDRESS_AT_MOST or self._by_address.total() >= self._at_most:
            raise ApiError(429, TOO_MANY)
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._by_address[address] -= 1
            self._by_address += Counter()  # drops addresses of which none waits
