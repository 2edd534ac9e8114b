"""A worker's HTTP surface: which path leads where, and what happens around every request."""

from __future__ import annotations

import time
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.counted import counted
from worker.errors import WrongMethod, WrongWorker
from worker.metrics import Numbers
from worker.models import Models
from worker.protocols.article import Article
from worker.readiness import explain, waiting_for
from worker.refusals import as_ours, refused
from worker.requests import Requests
from worker.settings import WorkerSettings


@dataclass(slots=True)
class Presence:
    """What the outside may know of this process: who it is, whether it takes work, whether it is leaving."""

    boot: str
    ready: bool = False
    leaving: bool = False


def build_app(
    settings: WorkerSettings, models: Models, presence: Presence, numbers: Numbers, requests: Requests
) -> web.Application:
    """The application of one port: its default model's service, and all models by name. `requests` counts its own."""
    article = Article(models, models.default, max_body_bytes=settings.max_body_bytes, top=settings.top)
    health = Health(presence, models)
    app = web.Application(middlewares=[_answering(presence, models, numbers, requests)])
    app.add_routes(
        [
            web.post("/", article.classify, expect_handler=article.expected),
            web.get("/", _usage),
            web.get("/healthz", health.alive),
            web.get("/readyz", health.ready),
            web.get("/metrics", numbers.handle),
        ]
    )
    return app


class Health:
    """Liveness for Consul, readiness for people; both of the model that the port is for."""

    def __init__(self, presence: Presence, models: Models) -> None:
        self._presence = presence
        self._models = models
        self._store = models.store(models.default)

    async def alive(self, request: web.Request) -> web.Response:
        """`GET /healthz?boot=ID`: 200; 409 if another process is meant; 429 while the queue is nearly full.

        503 before the model is loaded. The bodies are constant: every change of a check's output would wake every
        watcher of the service.
        """
        boot = request.query.get("boot")
        if boot is not None and boot != self._presence.boot:
            return web.Response(status=409, text="another process\n")
        if not self._store.loaded:
            return web.Response(status=503, text="loading\n")
        return web.Response(status=429, text="busy\n") if self._store.crowded else web.Response(text="ok\n")

    async def ready(self, _: web.Request) -> web.Response:
        """`GET /readyz`: what is served and how, or what is waited for; 503 before all is warm and while leaving."""
        presence = self._presence
        reasons = waiting_for(self._store, answering=presence.ready, leaving=presence.leaving)
        body = {
            "ready": not reasons,
            "leaving": presence.leaving,
            "waiting_for": reasons,
            "boot": presence.boot,
            "model": self._models.default,
            "models": explain(self._models),
        }
        return web.json_response(body, status=503 if reasons else 200)


async def _usage(_: web.Request) -> web.Response:
    raise WrongMethod("POST an image here: curl -F data=@cat.jpg, or the image as the body.")


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
