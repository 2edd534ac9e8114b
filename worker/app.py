"""A worker's HTTP surface: which path leads where, and what happens around every request."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.counted import counted
from worker.errors import WrongWorker
from worker.health import Health, Presence
from worker.metrics import Numbers
from worker.models import Models
from worker.openapi import described
from worker.protocols.article import Article
from worker.protocols.exchange import Bodies
from worker.protocols.openinference import OpenInference
from worker.protocols.tfserving import TFServing
from worker.receiving import RECEIVING, Receiving
from worker.refusals import as_ours, refused
from worker.requests import Requests
from worker.routes import JSON, OPERATION, TEXT, Route
from worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class Shared:
    """What all ports of a worker have in common: its numbers, its requests, and the bodies that it holds."""

    numbers: Numbers
    requests: Requests
    receiving: Receiving


def build_app(settings: WorkerSettings, models: Models, presence: Presence, shared: Shared) -> web.Application:
    """The application of one port: its default model's service, and all models by name."""
    bodies = Bodies(settings.max_body_bytes)
    app = web.Application(middlewares=[_answering(presence, models, shared.numbers, shared.requests)])
    app[RECEIVING] = shared.receiving
    for route in worker_routes(settings, models, presence, shared.numbers, bodies):
        add = app.router.add_get if route.method == "GET" else app.router.add_post  # a GET is answered to HEAD too
        add(route.path, route.handler, expect_handler=bodies.expected)
    return app


def worker_routes(
    settings: WorkerSettings, models: Models, presence: Presence, numbers: Numbers, bodies: Bodies
) -> list[Route]:
    """All that a worker answers, its own description included."""
    article = Article(models, models.default, bodies, top=settings.top)
    health = Health(presence, models)
    tensorflow = TFServing(models, bodies, top=settings.top)
    inference = OpenInference(models, bodies, ready=lambda: presence.taking)
    described_at = Description()
    routes = [
        *article.routes(),
        *tensorflow.routes(),
        *inference.routes(),
        *health.routes(),
        Route("GET", "/metrics", numbers.handle, tag=OPERATION, summary="Prometheus text.", answer={TEXT: str}),
        *described_at.routes(),
    ]
    described_at.describe(routes, models.names)
    return routes


class Description:
    """`GET /openapi.json`: made once, from the routes that it is one of."""

    def __init__(self) -> None:
        self._text = ""

    def routes(self) -> list[Route]:
        """Where it is read."""
        answer = {JSON: dict[str, Any]}
        return [Route("GET", "/openapi.json", self.read, tag=OPERATION, summary="This description.", answer=answer)]

    def describe(self, routes: Sequence[Route], models: Sequence[str]) -> None:
        """Take the description of `routes` to the models of these names."""
        self._text = json.dumps(described(routes, models=models))

    async def read(self, _: web.Request) -> web.Response:
        """The description."""
        return web.Response(text=self._text, content_type=JSON)


def _answering(presence: Presence, models: Models, numbers: Numbers, requests: Requests) -> Middleware:
    """Middleware around every request: the right process, counted, errors as JSON, goodbye when leaving."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        since_s = time.monotonic()
        numbers.in_flight.inc()
        try:
            with requests.one():
                _check_boot(request, presence)
                response = await handler(request)
        except Exception as error:
            response = refused(as_ours(error, request))
            if isinstance(error.__cause__, web.RequestPayloadError):
                # Of a body that cannot be unpacked nothing more comes; looking for its end would fail again.
                request.content.feed_eof()
                response.force_close()
        finally:
            numbers.in_flight.dec()
        of = counted(request.path, default=models.default, known=models.names)
        numbers.answered(of, status=response.status, took_s=time.monotonic() - since_s)
        if presence.leaving:
            # A client that keeps its connection would go on to feed a worker that is about to close it.
            response.force_close()
        return response

    return answer


def _check_boot(request: web.Request, presence: Presence) -> None:
    boot = request.headers.get("P2P-Boot")
    if boot is not None and boot != presence.boot:
        raise WrongWorker("Another process answers at this address now: look a worker up again.")
