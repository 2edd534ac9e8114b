"""The spans of the requests of an aiohttp application that are traced."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from registry.runtime.request_id import HEADER, sent_request_id
from registry.runtime.tracing.server_spans import ServedRequest, Tracing, note_answer
from registry.runtime.tracing.trace_context import sent_trace_context
from registry.web.request_ids import WORKER


def traces_requests(tracing: Tracing) -> Middleware:
    """Middleware, outside all others: each request that is to be traced is answered in its span."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        parent = sent_trace_context(request.headers)
        if not tracing.traces(request.path, parent):
            return await handler(request)
        with tracing.serving(_served(request), parent) as span:
            response = await handler(request)
            note_answer(span, response.status, worker=request.get(WORKER))
            return response

    return answer


def _served(request: web.Request) -> ServedRequest:
    resource = request.match_info.route.resource
    return ServedRequest(
        request.method,
        request.path,
        "" if resource is None else resource.canonical,
        request.scheme,
        request.host,
        request.remote or "",
        sent_request_id(request.headers.get(HEADER)),
    )
