"""Events: named messages that clients fire and list, the last 256 of them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from registry.agent.state.index import ChangeIndex, Topic
from registry.agent.state.records import Service

EVENTS: Topic = ("events", "")

_KEPT_MAX = 256


@dataclass(frozen=True, slots=True)
class Event:
    """An event. The filters are regular expressions: which nodes, services and tags it is meant for.

    `time` is the Lamport time, 0 before the event is fired.
    """

    id: str
    name: str
    payload: bytes | None = None
    node_filter: str = ""
    service_filter: str = ""
    tag_filter: str = ""
    time: int = 0


def is_meant_for(event: Event, *, node: str, services: Iterable[Service]) -> bool:
    """Whether the filters of an event match a node and, if it names services or tags, a service on it."""
    if event.node_filter and not re.search(event.node_filter, node):
        return False
    if not event.service_filter:
        return True
    named = (service for service in services if re.search(event.service_filter, service.name))
    return any(not event.tag_filter or any(re.search(event.tag_filter, tag) for tag in s.tags) for s in named)


class Events:
    """The events that were fired last, oldest first; `time` is the Lamport time of the last one."""

    def __init__(self, changes: ChangeIndex) -> None:
        self._changes = changes
        self._events: deque[Event] = deque(maxlen=_KEPT_MAX)
        self.time = 1

    def fire(self, event: Event) -> None:
        """Keep an event, and wake the clients that wait for one."""
        self.time += 1
        self._events.append(replace(event, time=self.time))
        self._changes.wake(EVENTS)

    def named(self, name: str) -> list[Event]:
        """The events of a name; with an empty one, all."""
        return [event for event in self._events if name in ("", event.name)]
