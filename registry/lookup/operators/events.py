"""The lookup service's events over HTTP: as one JSON object, or as a stream of server-sent events.

GET /events                                 {"log", "last", "events": [...]}, oldest first, the last 1,000
GET /events   Accept: text/event-stream     the same events and those to come, each as `id: LOG-NUMBER`, `data: {...}`
?after=NUMBER                               those after this one; with `log=LOG` only where it is still that log
?wait=30s                                   one JSON object once there is such an event, or after this time
?kind=NAME&service=NAME                     only these; `kind` may be repeated

A stream that names the log of an earlier process, in `Last-Event-ID` too, begins with all events that are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from registry.events.event import Kind, RecordedEvent
from registry.events.event_log import EventLog
from registry.lookup.query_parameters import wait_of, whole_number
from registry.lookup.waiting_requests import WaitingRequests
from registry.web.refusal import Refusal

STREAM = "text/event-stream"

KEEP_ALIVE_S = 15.0
"""The time between two comments on a stream without events: proxies close connections that are silent for longer."""


class EventRoute:
    """The handler over one log."""

    def __init__(self, log: EventLog, waiting: WaitingRequests) -> None:
        self._log = log
        self._waiting = waiting

    async def events(self, request: web.Request) -> web.StreamResponse:
        """`GET /events`."""
        wanted = _Wanted(request)
        after = self._after(request)
        if STREAM in request.headers.get("Accept", ""):
            with self._waiting.one_more():
                return await self._stream(request, wanted, after)
        if "wait" in request.query:
            with self._waiting.one_more():
                await self._log.wait_after(after, timeout_s=wait_of(request))
        return web.json_response(
            {
                "log": self._log.name,
                "last": self._log.last,
                "events": [each.as_json() for each in wanted.of(self._log.after(after))],
            }
        )

    async def _stream(self, request: web.Request, wanted: _Wanted, after: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": STREAM, "Cache-Control": "no-store"})
        await response.prepare(request)
        text = "retry: 1000\n\n"
        while not self._log.ended:
            text += "".join(self._written(each) for each in wanted.of(self._log.after(after)))
            after = self._log.last
            await response.write(text.encode())
            await self._log.wait_after(after, timeout_s=KEEP_ALIVE_S)
            text = ": alive\n\n" if self._log.last == after else ""
        return response

    def _written(self, recorded: RecordedEvent) -> str:
        """One server-sent event; JSON has no line breaks of its own."""
        return f"id: {self._log.name}-{recorded.number}\ndata: {json.dumps(recorded.as_json())}\n\n"

    def _after(self, request: web.Request) -> int:
        """The number of the last event that the client knows; 0 where that was in another log."""
        log, _, number = request.headers.get("Last-Event-ID", "").rpartition("-")
        if log == self._log.name and number.isascii() and number.isdigit() and len(number) < 16:
            return int(number)
        if request.query.get("log", self._log.name) != self._log.name:
            return 0
        return whole_number(request, "after", default=0, least=0)


class _Wanted:
    """The events that a request asks for. Raises Refusal for a kind that does not exist."""

    def __init__(self, request: web.Request) -> None:
        kinds: list[Any] = request.query.getall("kind", [])
        unknown = [kind for kind in kinds if kind not in list(Kind)]
        if unknown:
            raise Refusal(400, f"kind={unknown[0][:40]} cannot be used: there are {', '.join(Kind)}.")
        self._kinds = frozenset(kinds)
        self._service = request.query.get("service")

    def of(self, events: Iterable[RecordedEvent]) -> list[RecordedEvent]:
        """Those of the events that are wanted."""
        return [
            each
            for each in events
            if (not self._kinds or each.event.kind in self._kinds)
            and (self._service is None or each.event.service == self._service)
        ]
