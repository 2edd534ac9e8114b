"""Gives the answers of an aiohttp application their request ids: the one that was sent, or a new one for an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from registry.runtime.request_id import HEADER, RequestIds, sent_request_id

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
"""The id of a request that has one."""


ResponseSignal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
"""A handler of aiohttp's signal `on_response_prepare`."""


def adds_request_ids(ids: RequestIds) -> ResponseSignal:
    """A signal handler, because a redirect is sent before its handler returns."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        request_id = request.get(REQUEST_ID) or sent_request_id(request.headers.get(HEADER))
        if not request_id and response.status >= 400:
            request_id = ids.new()
        if request_id and HEADER not in response.headers:
            request[REQUEST_ID] = request_id
            response.headers[HEADER] = request_id

    return add
