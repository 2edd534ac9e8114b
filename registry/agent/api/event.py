"""/v1/event: events are fired and listed.

An event has a random id and no place in the agent-wide index: the index of a list is made of its last event's id, and
a client that names it waits until another event comes.
"""

from __future__ import annotations

import re
import uuid

from registry.agent.agent import Agent
from registry.agent.api.blocking.blocking_query import refuse_other_datacenter, wait_index, wait_s
from registry.agent.api.blocking.waiting import WaitingRequests
from registry.agent.api.formats.json_views import event_entry
from registry.agent.api.formats.message import Request, Response, json_response
from registry.agent.api.selection import name_in
from registry.agent.errors import ApiError
from registry.agent.state.events import EVENTS, Event
from registry.agent.state.index import Topic

_NO_EVENT_INDEX = 1


class EventApi:
    """The handlers; each takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, agent: Agent, waiting: WaitingRequests) -> None:
        self._agent = agent
        self._waiting = waiting
        self._state = agent.state

    async def fire(self, request: Request) -> Response:
        """PUT fire/NAME?node=&service=&tag=: an event with the body as its payload."""
        query = request.query
        event = Event(
            id=str(uuid.uuid4()),
            name=name_in(request, "name"),
            payload=request.body or None,
            node_filter=query.text("node"),
            service_filter=query.text("service"),
            tag_filter=query.text("tag"),
        )
        _check_filters(event)
        refuse_other_datacenter(query.text("dc"), self._state.node)
        self._agent.fire(event)
        return json_response(event_entry(event), request)

    async def list(self, request: Request) -> Response:
        """GET list: the events that were kept, oldest first; ?name= narrows it."""
        known, name = wait_index(request.query), request.query.text("name")

        def waits_for() -> Topic | None:
            return EVENTS if known and _index(self._state.events.named(name)) == known else None

        await self._waiting.wait(request.client, wait_s(request.query), waits_for)
        events = self._state.events.named(name)
        headers = {"X-Consul-Index": str(_index(events))}
        return json_response([event_entry(event) for event in events], request, headers=headers)


def _check_filters(event: Event) -> None:
    if event.tag_filter and not event.service_filter:
        raise ApiError(500, "Cannot provide tag filter without service filter")
    patterns = {"node": event.node_filter, "service": event.service_filter, "tag": event.tag_filter}
    for what, pattern in patterns.items():
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ApiError(500, f"Invalid {what} filter: error parsing regexp: {error}") from error


def _index(events: list[Event]) -> int:
    """The two halves of the last event's id, one upon the other (exclusive or), as in Consul."""
    if not events:
        return _NO_EVENT_INDEX
    number = uuid.UUID(events[-1].id).int
    return (number >> 64) ^ (number & (2**64 - 1))
