"""`p2p events` against a lookup service whose events the test makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

import p2pclient.cli.events.follow
from p2pclient.cli.events.follow import show_events
from p2pclient.discovery.operator_pages import OperatorPages
from p2pclient.errors import AuthenticationError
from p2pclient.transport.http import HttpTransport
from registry.events.event import Event, Kind
from registry.events.event_log import EventLog
from registry.lookup.operators.events import EventRoute
from registry.lookup.waiting_requests import WaitingRequests
from tests.support.waiting import until


class Lookup:
    """A lookup service of which only /events is there; `log` may be replaced, and `status` refuses."""

    def __init__(self) -> None:
        self.log = EventLog(clock=self._tick)
        self.status = 0
        self._now_s = 1000.0

    def _tick(self) -> float:
        self._now_s += 1
        return self._now_s

    def happens(self, text: str) -> None:
        self.log.record([Event(Kind.JOINED, text)])

    def restarts(self) -> None:
        old, self.log = self.log, EventLog(clock=self._tick)
        old.end()

    async def events(self, request: web.Request) -> web.StreamResponse:
        if self.status:
            return web.Response(status=self.status, text="No.\n")
        return await EventRoute(self.log, WaitingRequests()).events(request)


@asynccontextmanager
async def following(lookup: Lookup, *, follow: bool = True) -> AsyncIterator[tuple[asyncio.Task[None], list[str], Any]]:
    """`p2p events --follow`: its task, the sentences that it has shown, and its complaints."""
    app = web.Application()
    app.add_routes([web.get("/events", lookup.events)])
    shown: list[str] = []
    complaints: list[str] = []
    transport = HttpTransport(connect_timeout_s=5)
    async with TestServer(app) as server:
        pages = OperatorPages(transport, [URL(str(server.make_url("/")).rstrip("/"))])
        task = asyncio.create_task(
            show_events(
                pages,
                show=lambda event: shown.append(event["text"]),
                complain=complaints.append,
                follow=follow,
                limit_s=5,
            )
        )
        try:
            yield task, shown, complaints
        finally:
            lookup.log.end()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await transport.close()


async def test_what_is_kept_is_shown_once_and_that_is_all() -> None:
    """Without --follow the command ends then."""
    lookup = Lookup()
    lookup.happens("first")
    async with following(lookup, follow=False) as (task, shown, _):
        await task
        assert shown == ["first"]


async def test_each_event_is_shown_once_through_a_restart_and_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process numbers its events anew: those that happened since are shown. An outage is told once."""
    monkeypatch.setattr(p2pclient.cli.events.follow, "PAUSE_S", 0.01)
    lookup = Lookup()
    lookup.happens("first")
    async with following(lookup) as (_, shown, complaints):
        await until(lambda: shown == ["first"])
        lookup.happens("second")
        await until(lambda: shown == ["first", "second"])
        lookup.status = 500
        lookup.restarts()
        lookup.happens("second")  # which the other process has noticed, too, a moment later
        lookup.happens("third")
        await until(lambda: bool(complaints))
        lookup.status = 0
        await until(lambda: shown == ["first", "second", "third"])
        lookup.happens("fourth")
        await until(lambda: shown == ["first", "second", "third", "fourth"])
        assert len(complaints) == 1


async def test_a_token_without_rights_ends_it() -> None:
    """Asking again is of no use."""
    lookup = Lookup()
    lookup.status = 403
    async with following(lookup) as (task, shown, _):
        with pytest.raises(AuthenticationError, match="refused"):
            await task
        assert shown == []
