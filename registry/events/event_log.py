"""The event log of one lookup process: writes a line for each event, keeps the last 1,000, and wakes their readers."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from registry.discovery.transition import Transition
from registry.events.differences import events_in
from registry.events.event import Event, Kind, RecordedEvent
from registry.runtime.tasks.race import event_within

logger = logging.getLogger(__name__)

KEPT = 1000

LINES_AT_ONCE = 20
"""Lines in the log for one transition: the loss of a data centre is no reason for thousands."""


class EventLog:
    """The events of one process, numbered from 1. `name` is another one for each log, so that numbers can be compared.

    Created within a running event loop, or before it runs; used within it. `clock` gives seconds since 1970.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.name = secrets.token_hex(6)
        self.ended = False
        self._clock = clock
        self._kept: deque[RecordedEvent] = deque(maxlen=KEPT)
        self._number = 0
        self._change = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the last event, 0 before the first."""
        return self._number

    def observe(self, transition: Transition) -> None:
        """Record what a transition brought; `Directory` calls this."""
        self.record(events_in(transition))

    def configured(self, sentence: str) -> None:
        """Record that the configuration in use has changed; who changed it has logged that."""
        self._keep([Event(Kind.CONFIGURATION, sentence)])

    def key_rotated(self, key_id: str) -> None:
        """Record that tickets are signed with another key; who signs has logged that."""
        self._keep([Event(Kind.KEY_ROTATED, f"Tickets are signed with the key {key_id}.")])

    def record(self, events: Sequence[Event]) -> None:
        """Log and keep events, and wake who follows them."""
        for event in events[:LINES_AT_ONCE]:
            level = logging.WARNING if event.kind.warns else logging.INFO
            logger.log(level, "%s", event.text, extra={"fields": event.fields})
        if len(events) > LINES_AT_ONCE:
            logger.warning("%d more events: /events lists them.", len(events) - LINES_AT_ONCE)
        self._keep(events)

    def after(self, number: int) -> Sequence[RecordedEvent]:
        """The events that are kept and came after the one of this number, oldest first."""
        return [each for each in self._kept if each.number > number]

    async def wait_after(self, number: int, *, timeout_s: float) -> None:
        """Return when there is an event after that of this number, when the log has ended, or after `timeout_s`."""
        if self._number <= number and not self.ended:
            await event_within(self._change, timeout_s)

    def end(self) -> None:
        """Wake all who follow: no event comes any more."""
        self.ended = True
        self._wake()

    def _keep(self, events: Iterable[Event]) -> None:
        at_s = self._clock()
        for event in events:
            self._number += 1
            self._kept.append(RecordedEvent(self._number, at_s, event))
        self._wake()

    def _wake(self) -> None:
        changed, self._change = self._change, asyncio.Event()
        changed.set()
