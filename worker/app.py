"""A worker's HTTP surface: which path leads where, and what happens around every request."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.errors import WrongMethod, WrongWorker
from worker.metrics import Numbers
from worker.models import Models
from worker.protocols.article import Article
from worker.receiving import RECEIVING, Receiving
from worker.refusals import as_ours, refused
from worker.settings import WorkerSettings
from worker.store import Store


@dataclass(slots=True)
class Presence:
    """What the outside may know of this process: who it is, whether it takes work, whether it is leaving."""

    boot: str
    ready: bool = False
    leaving: bool = False


def build_app(settings: WorkerSettings, models: Models, presence: Presence, numbers: Numbers) -> web.Application:
    """The application of one worker, as its default model's service shows it."""
    article = Article(models, models.default, max_body_bytes=settings.max_body_bytes, top=settings.top)
    health = Health(presence, models.store(models.default))
    app = web.Application(middlewares=[_answering(presence, numbers)])
    most_bytes = max(settings.body_memory_bytes, settings.max_body_bytes)
    app[RECEIVING] = Receiving(most_bytes=most_bytes, total_s=settings.deadline_s)
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
    """Liveness for Consul, readiness for people."""

    def __init__(self, presence: Presence, store: Store) -> None:
        self._presence = presence
        self._store = store

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
        ready = self._presence.ready and not self._presence.leaving
        body = {"ready": ready, "leaving": self._presence.leaving, "boot": self._presence.boot}
        predictor = self._store.current
        described = {"model": predictor.model.describe(), "batch_cap": predictor.batcher.pace.cap}
        return web.json_response(body | described, status=200 if ready else 503)


async def _usage(_: web.Request) -> web.Response:
    raise WrongMethod("POST an image here: curl -F data=@cat.jpg, or the image as the body.")


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
