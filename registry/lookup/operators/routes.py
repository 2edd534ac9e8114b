"""The lookup service's routes for operators: `/summary`, `/history`, `/events`, `/metrics`, and `/sd/prometheus`."""

from __future__ import annotations

import time
from collections.abc import Mapping

from aiohttp import web

from registry.discovery.directory import Directory
from registry.discovery.service import Service
from registry.events.event_log import EventLog
from registry.lookup.operators.events import STREAM, EventRoute
from registry.lookup.operators.metrics import LookupMetrics
from registry.lookup.operators.scrape_targets import scrape_targets
from registry.lookup.operators.summary import ServiceFacts
from registry.lookup.operators.summary_stream import stream_summary
from registry.lookup.operators.summary_text import ServiceText, SummaryTexts, whole
from registry.lookup.waiting_requests import WaitingRequests
from registry.security.access import check_service, may_use
from registry.security.caller import Caller
from registry.web.access_middleware import caller_of
from registry.web.refusal import Refusal
from registry.worker_figures.collector import FiguresCollector
from registry.worker_figures.history import History

OPERATOR_PATHS = ("/summary", "/history/{service}", "/events", "/metrics", "/sd/prometheus")
"""What only operators may ask for, where tokens are on."""


def add_operator_routes(
    app: web.Application,
    directory: Directory,
    metrics: LookupMetrics,
    events: EventLog,
    waiting: WaitingRequests,
    figures: FiguresCollector | None,
) -> None:
    """Add the routes to the application; event streams end when it shuts down. `figures` None: none are collected."""

    async def end_streams(_: web.Application) -> None:
        events.end()

    routes = _OperatorRoutes(directory, events, waiting, figures)
    app.add_routes(
        [
            web.get("/summary", routes.summary),
            web.get("/history/{service}", routes.history),
            web.get("/events", EventRoute(events, waiting).events),
            web.get("/metrics", metrics.handle),
            web.get("/sd/prometheus", routes.scrape_targets),
        ]
    )
    app.on_shutdown.append(end_streams)


class _OperatorRoutes:
    """The handlers over one directory."""

    def __init__(
        self, directory: Directory, events: EventLog, waiting: WaitingRequests, figures: FiguresCollector | None
    ) -> None:
        self._directory = directory
        self._figures = figures
        self._texts: dict[str, SummaryTexts] = {}
        self._events = events
        self._waiting = waiting

    async def summary(self, request: web.Request) -> web.StreamResponse:
        """`GET /summary`: services and workers, with shares of the lookups and the reasons for what is unusual.

        With `Accept: text/event-stream` it is followed by what has changed, at most every `PAUSE_S`.
        """
        caller = caller_of(request)
        if STREAM not in request.headers.get("Accept", ""):
            return web.json_response(text=whole(self._summary(caller)))
        with self._waiting.one_more():
            return await stream_summary(request, lambda: self._summary(caller), self._events)

    def _summary(self, caller: Caller) -> Mapping[str, ServiceText]:
        """The services that the caller may use, by their names, in order."""
        now_s = time.monotonic()
        services = sorted(self._directory.services(), key=lambda service: service.name)
        self._texts = {each.name: self._texts.get(each.name) or SummaryTexts() for each in services}
        return {each.name: self._service(each, now_s) for each in services if may_use(caller, each.name)}

    def _service(self, service: Service, now_s: float) -> ServiceText:
        watch = service.watch
        facts = ServiceFacts(
            stale_s=watch.stale_s(now_s),
            trouble=watch.trouble,
            hint=self._directory.hint(service),
            rollout=service.rollout,
            split=service.shares,
            product=watch.product,
            figures=None if self._figures is None else self._figures.figures(service.name),
        )
        return self._texts[service.name].text(service.snapshot, facts)

    async def history(self, request: web.Request) -> web.Response:
        """`GET /history/NAME?worker=ID`: the last 15 minutes of a service's figures, or of one of its workers."""
        service, worker = request.match_info["service"], request.query.get("worker", "")
        check_service(caller_of(request), service)
        if self._directory.followed(service) is None:
            raise Refusal(404, f"There is no service {service[:80]!r} here: try /services.")
        history = History() if self._figures is None else self._figures.history(service, worker)
        return web.json_response({"service": service, "worker": worker} | history.as_json())

    async def scrape_targets(self, request: web.Request) -> web.Response:
        """`GET /sd/prometheus`: what Prometheus is to scrape, in the form of its HTTP service discovery."""
        instances = [i for service in self._directory.services() for i in service.snapshot.instances]
        return web.json_response(scrape_targets(instances, lookup_address=request.host, lookup_scheme=request.scheme))
