"""A worker's HTTP surface: which path leads where, and how every error becomes one JSON sentence."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.errors import BadRequest, Busy, NotFound, WorkerError, WrongWorker
from worker.metrics import Numbers
from worker.protocols.article import Article

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Presence:
    """What the outside may know of this process: who it is, whether it takes work, whether it is leaving."""

    boot: str
    ready: bool = False
    leaving: bool = False


def build_app(
    *,
    article: Article,
    presence: Presence,
    crowded: Callable[[], bool],
    describe: Callable[[], Mapping[str, Any]],
    numbers: Numbers,
) -> web.Application:
    """The application of one worker."""
    health = Health(presence, crowded=crowded, describe=describe)
    app = web.Application(middlewares=[_answering(presence, numbers)])
    app.add_routes(
        [
            web.post("/", article.classify),
            web.get("/", _usage),
            web.get("/healthz", health.alive),
            web.get("/readyz", health.ready),
            web.get("/metrics", numbers.handle),
        ]
    )
    return app


class Health:
    """Liveness for Consul, readiness for people."""

    def __init__(
        self, presence: Presence, *, crowded: Callable[[], bool], describe: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._presence = presence
        self._crowded = crowded
        self._describe = describe

    async def alive(self, request: web.Request) -> web.Response:
        """`GET /healthz?boot=ID`: 200; 409 if another process is meant; 429 while the queue is nearly full.

        The bodies are constant: every change of a check's output would wake every watcher of the service.
        """
        boot = request.query.get("boot")
        if boot is not None and boot != self._presence.boot:
            return web.Response(status=409, text="another process\n")
        return web.Response(status=429, text="busy\n") if self._crowded() else web.Response(text="ok\n")

    async def ready(self, _: web.Request) -> web.Response:
        """`GET /readyz`: what is served and how; 503 before the model is warm and while leaving."""
        ready = self._presence.ready and not self._presence.leaving
        body = {"ready": ready, "leaving": self._presence.leaving, "boot": self._presence.boot}
        return web.json_response(body | dict(self._describe()), status=200 if ready else 503)


async def _usage(_: web.Request) -> web.Response:
    raise WrongMethod("POST an image here: curl -F data=@cat.jpg, or the image as the body.")


class WrongMethod(WorkerError):
    """The path exists, the method does not."""

    status = 405


def _answering(presence: Presence, numbers: Numbers) -> Middleware:
    """Middleware around every request: the right process, counted, errors as JSON, goodbye when leaving."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        with numbers.in_flight.track_inprogress():
            try:
                _check_boot(request, presence)
                response = await handler(request)
            except Exception as error:
                response = _refused(_as_ours(error, request))
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


def _as_ours(error: Exception, request: web.Request) -> WorkerError:
    match error:
        case WorkerError():
            return error
        case ExceptionGroup():
            return _as_ours(error.exceptions[0], request)
        case web.HTTPNotFound():
            return NotFound(f"There is nothing at {request.path}: POST an image to /.")
        case web.HTTPMethodNotAllowed():
            return WrongMethod(f"{request.method} is not answered at {request.path}.")
        case ConnectionError() | web.HTTPException():
            return BadRequest(f"The request could not be read: {error}.")
    logger.error("A request failed by a fault of this worker.", exc_info=error)
    return WorkerError("This worker failed; its log says why.")


def _refused(error: WorkerError) -> web.Response:
    headers = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return web.Response(
        status=error.status,
        text=f"{json.dumps({'error': str(error)})}\n",
        content_type="application/json",
        headers=headers,
    )
