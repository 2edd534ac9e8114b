"""A worker's HTTP surface: which path leads where, and what happens around every request."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.protocols.article import Article
from worker.protocols.common import Bodies
from worker.protocols.openinference.routes import OpenInference
from worker.protocols.tfserving.routes import TFServing
from worker.repository.repository import Models
from worker.repository.request_epochs import Requests
from worker.settings import WorkerSettings
from worker.telemetry.metrics import Numbers
from worker.web.body_budget import Receiving
from worker.web.endpoint_state import Health, Presence
from worker.web.middleware import Around
from worker.web.openapi import described
from worker.web.request import Asked
from worker.web.responses import Answer, as_response
from worker.web.routes import JSON, OPERATION, TEXT, Route


@dataclass(frozen=True, slots=True)
class Shared:
    """What all ports of a worker have in common: its numbers, its requests, and the bodies that it holds."""

    numbers: Numbers
    requests: Requests
    receiving: Receiving


PLAIN: web.AppKey[Callable[[Asked], Awaitable[Answer]]] = web.AppKey("plain")
"""How an application answers `POST /`, for whoever reads HTTP without it."""


def build_app(settings: WorkerSettings, models: Models, presence: Presence, shared: Shared) -> web.Application:
    """The application of one port: its default model's service, and all models by name."""
    bodies = Bodies(settings.max_body_bytes, shared.receiving)
    article = Article(models, models.default, bodies, top=settings.top)
    around = Around(presence, models, shared.numbers, shared.requests)
    app = web.Application(middlewares=[_answering(around)])
    app[PLAIN] = lambda asked: around.answer(asked, article.answer, _as_it_is)
    for route in worker_routes(settings, models, presence, shared.numbers, bodies, article):
        add = app.router.add_get if route.method == "GET" else app.router.add_post  # a GET is answered to HEAD too
        add(route.path, route.handler, expect_handler=bodies.expected)
    return app


def worker_routes(
    settings: WorkerSettings, models: Models, presence: Presence, numbers: Numbers, bodies: Bodies, article: Article
) -> list[Route]:
    """All that a worker answers, its own description included."""
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


def _answering(around: Around) -> Middleware:
    """The frame of all requests that come through the framework."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await around.answer(request, handler, as_response)
        if isinstance(request.content.exception(), web.RequestPayloadError):
            # Of a body that cannot be unpacked nothing more comes; looking for its end would fail again.
            request.content.feed_eof()
            response.force_close()
        return response

    return answer


def _as_it_is(answer: Answer) -> Answer:
    return answer
