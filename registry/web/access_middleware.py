"""Steps before the handlers of lookup and proxy: the host name, the caller's token and quota; CORS around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from registry.security.access_control import AccessControl
from registry.security.caller import ANONYMOUS, Caller, Role

CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
"""Who sends the request."""

OPEN = frozenset({"/healthz", "/readyz"})
"""Paths that are answered without a token."""

Roles = Mapping[str, Role]
"""The role that a path needs where it is not the client's."""


def caller_of(request: web.Request) -> Caller:
    """Who sends this request, as the middleware has found out."""
    caller: Caller = request.get(CALLER, ANONYMOUS)
    return caller


def checks_access(
    access: AccessControl, *, open_paths: frozenset[str] = frozenset(), roles: Roles = MappingProxyType({})
) -> Middleware:
    """Middleware: a request is answered only if its caller may ask. Raises AccessDenied, OverQuota."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        access.check_host(request.headers)
        resource = request.match_info.route.resource
        path = "" if resource is None else resource.canonical
        if path not in open_paths:
            caller = request[CALLER] = access.caller(request.headers, roles.get(path, Role.CLIENT))
            access.count(caller)
        return await handler(request)

    return answer


def answer_pages(app: web.Application, access: AccessControl) -> None:
    """Let web pages of the allowed origins read the application's answers; browsers' preflights are answered, too."""
    if access.origins:
        app.middlewares.insert(0, _answers_preflights(access))
        app.on_response_prepare.append(_adds_headers(access))


def _answers_preflights(access: AccessControl) -> Middleware:
    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        preflight = access.origins.preflight(request.method, request.headers)
        return await handler(request) if preflight is None else web.Response(status=204, headers=preflight)

    return answer


def _adds_headers(access: AccessControl) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """A signal handler, because a redirect is sent before its handler returns."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(access.origins.headers(request.headers))

    return add
