"""Redirects a request to the next worker with a 307: lookup and request in one step instead of two.

    POST /, ANY /to/{service}/{path}  -> 307, Location: {scheme}://worker:port/{path}

The 307 also answers `Expect: 100-continue`, in place of `100 Continue`, so that a client which waits for that (curl
from 1 MiB on, aiohttp with expect100=True) sends its image to the worker only. `?version=` and `?tag=` do not select
the worker here: the query belongs to the worker.
"""

from __future__ import annotations

from aiohttp import web

from registry.lookup.service_finder import ServiceFinder
from registry.lookup.service_resolution import snapshot_headers
from registry.lookup.tickets import LookupTickets
from registry.security.access import AccessDenied
from registry.security.caller import Caller
from registry.web.access_middleware import caller_of
from registry.web.discard_body import respond_and_discard_body
from registry.web.refusal import Refusal, refused
from registry.web.request_target import location, origin_form, split_service, with_parameter


def add_redirects(app: web.Application, default: str, finder: ServiceFinder, tickets: LookupTickets) -> None:
    """Add the routes that redirect to workers of the services that `finder` finds; `default` is that of `POST /`.

    `tickets` go to workers that want one.
    """
    redirect = Redirect(default, finder, tickets)
    app.router.add_route("POST", "/", redirect.to_default, expect_handler=_no_100_continue)
    for path in ("/to/{service}", r"/to/{service}/{path:[\s\S]*}"):
        app.router.add_route("*", path, redirect.to_service, expect_handler=_no_100_continue)


class Redirect:
    """The handlers; `default` is the service of `POST /`."""

    def __init__(self, default: str, finder: ServiceFinder, tickets: LookupTickets) -> None:
        self._default = default
        self._finder = finder
        self._tickets = tickets

    async def to_default(self, request: web.Request) -> web.Response:
        """`POST /`: to the next worker of the default service."""
        return await self._answer(request, self._default, _target(request))

    async def to_service(self, request: web.Request) -> web.Response:
        """Any method on `/to/{service}/{path}`: to `/{path}` of the service's next worker."""
        name, target = split_service(_target(request))
        return await self._answer(request, name, target)

    async def _answer(self, request: web.Request, name: str, target: str) -> web.Response:
        try:
            response = await self._redirect(name, target, caller_of(request))
        except (Refusal, AccessDenied) as refusal:
            response = refused(refusal)
        return await respond_and_discard_body(request, response)

    async def _redirect(self, name: str, target: str, caller: Caller) -> web.Response:
        service = (await self._finder.find(name, caller)).service
        worker = service.rotation().next()
        if worker is None:
            raise Refusal(503, f"No healthy worker of {name} right now: try again.", again=True)
        ticket = self._tickets.of(worker, caller)
        url = location(worker.origin, with_parameter(target, "ticket", ticket.text) if ticket else target)
        headers = {"Location": url, **snapshot_headers(service)}
        return web.Response(status=307, text=f"{url}\n", headers=headers)


async def _no_100_continue(_: web.Request) -> None:
    """In place of the framework's `100 Continue`: nothing is sent, since the handler answers at once."""


def _target(request: web.Request) -> str:
    target = origin_form(request.raw_path)
    assert target is not None  # the route matched a path
    return target
