"""The index: every change gets the next number, and wakes the clients that wait for that thing and no others.

A topic names something that can be waited for: ("service", "classify"), ("checks", ""), ("key", "a/b").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Topic = tuple[str, str]

Undo = Callable[[], None]
"""Puts a table back to what it was when the undo was made."""

# Raft spends a few entries on itself before Consul's first write. Starting above 1 keeps the promise that
# a client that asks with index=1 is answered at once.
_FIRST_INDEX = 4


class ChangeIndex:
    """The agent-wide index, the index at which each topic last changed, and the waiters of each topic.

    `version` counts every write, also those that get no index of their own because Consul would not
    wake anyone for them; a response built at one version is good until the next.
    """

    def __init__(self) -> None:
        self.index = _FIRST_INDEX
        self.version = 0
        self.closed = False
        self._at: dict[Topic, int] = {}
        self._waiting: dict[Topic, set[asyncio.Future[None]]] = {}
        self._nested = 0
        self._has_index = False
        self._to_wake: set[Topic] = set()

    @contextmanager
    def one_change(self) -> Iterator[None]:
        """All that is written inside is one change: it has one index, and waiters wake at its end. May be nested."""
        self._nested += 1
        try:
            yield
        finally:
            self._nested -= 1
            if not self._nested:
                self._has_index = False
                topics, self._to_wake = self._to_wake, set()
                for topic in topics:
                    self.wake(topic)

    def next_index(self) -> int:
        """The index of a change about to be written."""
        if not self._has_index:
            self.index += 1
            self._has_index = self._nested > 0
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
        if self._nested:
            self._to_wake.add(topic)
            return
        for waiter in self._waiting.pop(topic, ()):
            _release(waiter)

    def forget(self, topic: Topic) -> None:
        """Drop a topic that no longer exists."""
        self._at.pop(topic, None)

    def undo(self) -> Undo:
        """What puts the index back; a waiter that a change undone would have woken sleeps on."""
        index, has_index, at, to_wake = self.index, self._has_index, dict(self._at), set(self._to_wake)

        def restore() -> None:
            self.index, self._has_index, self._at, self._to_wake = index, has_index, at, to_wake
            self.version += 1

        return restore

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
        """Wake every waiter; from now on nothing waits."""
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
