"""Request ids and access lines of an aiohttp application: answers carry their ids, and the lines name them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from registry.runtime.logs.access_log import AccessLog
from registry.runtime.request_id import HEADER, RequestIds, sent_request_id

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
"""The id of a request that has one."""

WORKER: web.RequestKey[str] = web.RequestKey("worker", str)
"""The address of the worker that the answer names, or that gave it."""

ResponseSignal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
"""A handler of aiohttp's signal `on_response_prepare`."""


def adds_request_ids(ids: RequestIds) -> ResponseSignal:
    """A signal handler, because a redirect is sent before its handler returns.

    The id is the one that was sent, the one of the access line, or a new one for an error.
    """

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        request_id = request.get(REQUEST_ID) or sent_request_id(request.headers.get(HEADER))
        if not request_id and response.status >= 400:
            request_id = ids.new()
        if request_id and HEADER not in response.headers:
            request[REQUEST_ID] = request_id
            response.headers[HEADER] = request_id

    return add


def logs_access(log: AccessLog, ids: RequestIds) -> Middleware:
    """Middleware, outside all others: the log gets a line of each request that it wants to know of."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not log.wants():
            return await handler(request)
        request_id = request[REQUEST_ID] = sent_request_id(request.headers.get(HEADER)) or ids.new()
        since_s = time.monotonic()
        response = await handler(request)
        log.write(
            method=request.method,
            path=request.path,
            status=response.status,
            size=response.content_length if response.content_length is not None else response.body_length,
            took_s=time.monotonic() - since_s,
            request_id=request_id,
            received=request.content_length,
            worker=request.get(WORKER),
            client=request.remote,
        )
        return response

    return answer
