"""Around the frame of every request, where tracing is on: a request that is traced is answered in its span.

Both the fast path and aiohttp's middleware answer through this, so that a request gives the same spans on both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from registry.runtime.request_id import HEADER as REQUEST_ID
from registry.runtime.request_id import sent_request_id
from registry.runtime.tracing.server_spans import ServedRequest, Tracing, note_answer
from registry.runtime.tracing.trace_context import sent_trace_context
from worker.telemetry.traced_stages import stage_spans
from worker.web.middleware import RequestFrame, RequestT, ResponseT
from worker.web.request import IncomingRequest
from worker.web.responses import JsonResponse


class TracedFrame:
    """`frame` with spans around it; `tls` says whether the port speaks https."""

    def __init__(self, frame: RequestFrame, tracing: Tracing, *, tls: bool) -> None:
        self._frame = frame
        self._tracing = tracing
        self._scheme = "https" if tls else "http"

    async def answer(
        self,
        request: RequestT,
        handler: Callable[[RequestT], Awaitable[ResponseT]],
        convert: Callable[[JsonResponse], ResponseT],
    ) -> ResponseT:
        """As `RequestFrame.answer_and_log`; in a span if the request is traced."""
        parent = sent_trace_context(request.headers)
        tracing = self._tracing
        if not tracing.traces(request.path, parent):
            return await self._frame.answer_and_log(request, handler, convert)
        served = ServedRequest(
            request.method,
            request.path,
            _route(request),
            self._scheme,
            request.headers.get("Host", ""),
            request.remote or "",
            sent_request_id(request.headers.get(REQUEST_ID)),
        )
        with tracing.serving(served, parent) as span, stage_spans(tracing, span):
            response = await self._frame.answer_and_log(request, handler, convert)
            note_answer(span, response.status)
            return response


def _route(request: IncomingRequest) -> str:
    """The path with names for its variables; the fast path takes only one without any."""
    found = request.match_info
    if not isinstance(found, UrlMappingMatchInfo):
        return request.path
    resource = found.route.resource
    return "" if resource is None else resource.canonical
