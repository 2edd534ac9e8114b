"""The index: every change gets the next number, and wakes those who wait for that thing and no others.

A topic names something that can be waited for: ("service", "classify"), ("checks", ""), ("key", "a/b").
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

Topic = tuple[str, str]

# Raft spends a few entries on itself before Consul's first write. Starting above 1 keeps the promise that
# a client which asks with index=1 is answered at once.
_FIRST_INDEX = 4


class Changes:
    """The agent-wide index, the index at which each topic last changed, and the waiters of each topic.

    `version` counts every write, also those that get no index of their own because Consul would not
    wake anyone for them; an answer made at one version is good until the next.
    """

    def __init__(self) -> None:
        self.index = _FIRST_INDEX
        self.version = 0
        self.closed = False
        self._at: dict[Topic, int] = {}
        self._waiting: dict[Topic, set[asyncio.Future[None]]] = {}

    def next_index(self) -> int:
        """Take the next index, for a change about to be written."""
        self.index += 1
        return self.index

    def at(self, topic: Topic) -> int:
        """The index at which a topic last changed; 0 if it never did or was forgotten."""
        return self._at.get(topic, 0)

    def announce(self, topics: Iterable[Topic]) -> None:
        """Say that these changed at the present index: remember it, and wake their waiters."""
        for topic in topics:
            self._at[topic] = self.index
            self.wake(topic)

    def wake(self, topic: Topic) -> None:
        """Wake a topic's waiters without remembering an index for it."""
        for waiter in self._waiting.pop(topic, ()):
            _release(waiter)

    def forget(self, topic: Topic) -> None:
        """Drop a topic that exists no more."""
        self._at.pop(topic, None)

    async def wait(self, topic: Topic, timeout_s: float) -> None:
        """Return when the topic changes, when the time is over, or when the agent closes."""
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.setdefault(topic, set()).add(waiter)
        timer = loop.call_later(timeout_s, _release, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._leave(topic, waiter)

    def close(self) -> None:
        """Wake everyone; from now on nobody waits."""
        self.closed = True
        for topic in list(self._waiting):
            self.wake(topic)

    def _leave(self, topic: Topic, waiter: asyncio.Future[None]) -> None:
        waiters = self._waiting.get(topic)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[topic]


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
