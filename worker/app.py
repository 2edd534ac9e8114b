"""A worker's HTTP surface: which path leads where, and what happens around every request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.errors import WrongWorker
from worker.metrics import Numbers
from worker.models import Models
from worker.openapi import described
from worker.protocols.article import Article
from worker.protocols.exchange import Receiving
from worker.protocols.openinference import OpenInference
from worker.protocols.tfserving import TFServing
from worker.refusals import as_ours, refused
from worker.routes import JSON, TEXT, Parameter, Route
from worker.settings import WorkerSettings
from worker.store import Store

_TAG = "operation"
_BOOT = Parameter("boot", "query", "string", "The process that is meant.")


@dataclass(slots=True)
class Presence:
    """What the outside may know of this process: who it is, whether it takes work, whether it is leaving."""

    boot: str
    ready: bool = False
    leaving: bool = False

    @property
    def taking(self) -> bool:
        """Whether requests are welcome."""
        return self.ready and not self.leaving


def build_app(settings: WorkerSettings, models: Models, presence: Presence, numbers: Numbers) -> web.Application:
    """The application of one worker, as its default model's service shows it."""
    receiving = Receiving(settings.max_body_bytes)
    app = web.Application(middlewares=[_answering(presence, numbers)])
    # Every request passes one of these: `route.tag` is the protocol that it is counted under.
    for route in worker_routes(settings, models, presence, numbers, receiving):
        add = app.router.add_get if route.method == "GET" else app.router.add_post  # a GET is answered to HEAD too
        add(route.path, route.handler, expect_handler=receiving.expected)
    return app


def worker_routes(
    settings: WorkerSettings, models: Models, presence: Presence, numbers: Numbers, receiving: Receiving
) -> list[Route]:
    """All that a worker answers, its own description included."""
    article = Article(models, models.default, receiving, top=settings.top)
    health = Health(presence, models.store(models.default))
    tensorflow = TFServing(models, receiving, top=settings.top)
    inference = OpenInference(models, receiving, ready=lambda: presence.taking)
    described_at = Description()
    routes = [
        *article.routes(),
        *tensorflow.routes(),
        *inference.routes(),
        *health.routes(),
        Route("GET", "/metrics", numbers.handle, tag=_TAG, summary="Prometheus text.", answer={TEXT: str}),
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
        return [Route("GET", "/openapi.json", self.read, tag=_TAG, summary="This description.", answer=answer)]

    def describe(self, routes: Sequence[Route], models: Sequence[str]) -> None:
        """Take the description of `routes` to the models of these names."""
        self._text = json.dumps(described(routes, models=models))

    async def read(self, _: web.Request) -> web.Response:
        """The description."""
        return web.Response(text=self._text, content_type=JSON)


class Health:
    """Liveness for Consul, readiness for people."""

    def __init__(self, presence: Presence, store: Store) -> None:
        self._presence = presence
        self._store = store

    def routes(self) -> list[Route]:
        """Where they are asked for."""
        return [
            Route("GET", "/healthz", self.alive, tag=_TAG, summary="Whether this process lives.", answer={TEXT: str},
                  parameters=(_BOOT,), also={409: "Another process is meant.", 429: "The queue is nearly full."}),
            Route("GET", "/readyz", self.ready, tag=_TAG, summary="What is served, and how.",
                  answer={JSON: dict[str, Any]}, also={503: "Not ready, or leaving."}),
        ]  # fmt: skip

    async def alive(self, request: web.Request) -> web.Response:
        """`GET /healthz?boot=ID`: 200; 409 if another process is meant; 429 while the queue is nearly full.

        The bodies are constant: every change of a check's output would wake every watcher of the service.
        """
        boot = request.query.get("boot")
        if boot is not None and boot != self._presence.boot:
            return web.Response(status=409, text="another process\n")
        crowded = self._store.current.batcher.crowded
        return web.Response(status=429, text="busy\n") if crowded else web.Response(text="ok\n")

    async def ready(self, _: web.Request) -> web.Response:
        """`GET /readyz`: what is served and how; 503 before the model is warm and while leaving."""
        ready = self._presence.taking
        body = {"ready": ready, "leaving": self._presence.leaving, "boot": self._presence.boot}
        predictor = self._store.current
        described = {"model": predictor.model.describe(), "batch_cap": predictor.batcher.pace.cap}
        return web.json_response(body | described, status=200 if ready else 503)


def _answering(presence: Presence, numbers: Numbers) -> Middleware:
    """Middleware around every request: the right process, counted, errors as JSON, goodbye when leaving."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        with numbers.in_flight.track_inprogress():
            try:
                _check_boot(request, presence)
                response = await handler(request)
            except Exception as error:
                response = refused(as_ours(error, request))
                if isinstance(error, web.RequestPayloadError):
                    # Of a body that cannot be unpacked nothing more comes; looking for its end would fail again.
                    request.content.feed_eof()
                    response.force_close()
        numbers.requests.labels(status=response.status).inc()
        if presence.leaving:
            # A client that keeps its connection would go on to feed a worker that is about to close it.
            response.force_close()
        return response

    return answer


def _check_boot(request: web.Request, presence: Presence) -> None:
    boot = request.headers.get("P2P-Boot")
    if boot is not None and boot != presence.boot:
        raise WrongWorker("Another process answers at this address now: look a worker up again.")
