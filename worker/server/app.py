"""The aiohttp application of one port: its routes, and the steps around every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from registry.runtime.connections.open_connections import Connections
from registry.runtime.logs.access_log import AccessLog
from registry.runtime.pages.page_files import sends_browsers_to_page
from worker.protocols.article import Article
from worker.protocols.openinference.routes import OpenInference
from worker.protocols.tfserving.routes import TFServing
from worker.repository.repository import ModelRepository
from worker.repository.request_epochs import RequestEpochs
from worker.server.admin_routes import AdminRoutes
from worker.settings import WorkerSettings
from worker.telemetry.metrics import WorkerMetrics
from worker.ui.routes import page_routes
from worker.web.access.port_access import PortAccess
from worker.web.body_budget import BodyBudget
from worker.web.body_reader import BodyReader
from worker.web.endpoint_state import EndpointState
from worker.web.middleware import Answering, RequestFrame, aiohttp_middleware
from worker.web.openapi import OpenApiRoute
from worker.web.request import IncomingRequest
from worker.web.responses import JsonResponse
from worker.web.routes import Route

if TYPE_CHECKING:
    from registry.runtime.tracing.server_spans import Tracing


@dataclass(frozen=True, slots=True)
class SharedState:
    """What all ports of a worker share: metrics, requests, budget for bodies, bounds of connections, log, traces."""

    metrics: WorkerMetrics
    requests: RequestEpochs
    body_budget: BodyBudget
    connections: Connections
    access_log: AccessLog | None = None
    tracing: Tracing | None = None


FAST_PATH_HANDLER: web.AppKey[Callable[[IncomingRequest], Awaitable[JsonResponse]]] = web.AppKey("fast_path_handler")
"""How an application answers `POST /` when the fast path, instead of aiohttp, has read the request."""


def build_app(
    settings: WorkerSettings,
    models: ModelRepository,
    state: EndpointState,
    shared: SharedState,
    access: PortAccess,
) -> web.Application:
    """The application of one port: `POST /` is for its default model, all other paths name their model."""
    body_reader = BodyReader(settings.max_body_bytes, shared.body_budget)
    article = Article(models, models.default, body_reader, top=settings.top)
    frame = RequestFrame(
        state,
        models,
        shared.metrics,
        shared.requests,
        answered=shared.body_budget.release,
        access=access,
        access_log=shared.access_log,
    )
    answer = _answering(frame, shared.tracing, tls=settings.tls is not None)
    page = [sends_browsers_to_page] if settings.ui else []
    app = web.Application(middlewares=[*page, aiohttp_middleware(frame, answer)])
    app[FAST_PATH_HANDLER] = lambda request: answer(request, article.answer, _unchanged)

    async def expect_continue(request: web.Request) -> web.Response | None:
        return await frame.expect_continue(request, body_reader.expect_continue)

    admin = AdminRoutes(state, models, shared.metrics, access)
    for route in _routes(settings, models, state, body_reader, article, admin):
        add = app.router.add_get if route.method == "GET" else app.router.add_post  # add_get answers HEAD too
        add(route.path, route.handler, expect_handler=expect_continue)
    return app


def _answering(frame: RequestFrame, tracing: Tracing | None, *, tls: bool) -> Answering:
    """How the frame answers: what nobody wants to know of requests costs them nothing."""
    if tracing is not None:
        from worker.web.traced_requests import TracedFrame  # which imports OpenTelemetry

        return TracedFrame(frame, tracing, tls=tls).answer
    return frame.answer_and_log if frame.logs else frame.answer


def _routes(
    settings: WorkerSettings,
    models: ModelRepository,
    state: EndpointState,
    body_reader: BodyReader,
    article: Article,
    admin: AdminRoutes,
) -> list[Route]:
    """All routes of a worker, the one that describes them included."""
    openapi = OpenApiRoute()
    routes = [
        *article.routes(),
        *TFServing(models, body_reader, top=settings.top).routes(),
        *OpenInference(models, body_reader, ready=lambda: state.takes_requests).routes(),
        *admin.routes(),
        *openapi.routes(),
        *(page_routes() if settings.ui else []),
    ]
    openapi.describe(routes, models.names)
    return routes


def _unchanged(response: JsonResponse) -> JsonResponse:
    return response
