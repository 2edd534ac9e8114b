"""The lookup service's routes for operators: `/summary`, `/events`, `/metrics`, and `/sd/prometheus`."""

from __future__ import annotations

import time

from aiohttp import web

from registry.discovery.directory import Directory
from registry.discovery.service import Service
from registry.events.event_log import EventLog
from registry.lookup.operators.events import EventRoute
from registry.lookup.operators.metrics import LookupMetrics
from registry.lookup.operators.scrape_targets import scrape_targets
from registry.lookup.operators.summary import service_summary
from registry.lookup.waiting_requests import WaitingRequests
from registry.security.access import may_use
from registry.web.access_middleware import caller_of

OPERATOR_PATHS = ("/summary", "/events", "/metrics", "/sd/prometheus")
"""What only operators may ask for, where tokens are on."""


def add_operator_routes(
    app: web.Application, directory: Directory, metrics: LookupMetrics, events: EventLog, waiting: WaitingRequests
) -> None:
    """Add the routes to the application; event streams end when it shuts down."""

    async def end_streams(_: web.Application) -> None:
        events.end()

    routes = _OperatorRoutes(directory)
    app.add_routes(
        [
            web.get("/summary", routes.summary),
            web.get("/events", EventRoute(events, waiting).events),
            web.get("/metrics", metrics.handle),
            web.get("/sd/prometheus", routes.scrape_targets),
        ]
    )
    app.on_shutdown.append(end_streams)


class _OperatorRoutes:
    """The handlers over one directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def summary(self, request: web.Request) -> web.Response:
        """`GET /summary`: services and workers, with shares of the lookups and the reasons for what is unusual."""
        caller, now_s = caller_of(request), time.monotonic()
        services = sorted(self._directory.services(), key=lambda service: service.name)
        shown = [self._summary(service, now_s) for service in services if may_use(caller, service.name)]
        return web.json_response({"services": shown})

    def _summary(self, service: Service, now_s: float) -> dict[str, object]:
        watch = service.watch
        hint = self._directory.hint(service)
        return service_summary(
            service.snapshot, stale_s=watch.stale_s(now_s), trouble=watch.trouble, hint=hint, product=watch.product
        )

    async def scrape_targets(self, request: web.Request) -> web.Response:
        """`GET /sd/prometheus`: what Prometheus is to scrape, in the form of its HTTP service discovery."""
        instances = [i for service in self._directory.services() for i in service.snapshot.instances]
        return web.json_response(scrape_targets(instances, lookup_address=request.host, lookup_scheme=request.scheme))
