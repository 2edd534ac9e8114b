"""Tickets in the lookup service's answers: for instances that want one, where this lookup service signs them.

GET /tickets/{service}      {"service", "ticket", "expires_in_s"}, good at every worker of the service
?max_body=BYTES&max_requests=N&deadline=SECONDS      narrower, to be handed on to somebody who is trusted less
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable

from aiohttp import web

from registry.discovery.directory import Directory
from registry.instances.instance import TICKET_AUTH, Instance, stable_id
from registry.lookup.rendering import HandedTicket
from registry.lookup.service_resolution import service_named
from registry.security.caller import Caller
from registry.security.tickets.ticket import LARGEST_NUMBER, NO_LIMITS, Limits
from registry.security.tickets.ticket_signer import NoSigningKey, TicketSigner
from registry.web.access_middleware import caller_of
from registry.web.refusal import Refusal

_ID_BYTES = 12


class LookupTickets:
    """The tickets that `signer` signs; None: this lookup service signs none."""

    def __init__(self, signer: TicketSigner | None = None) -> None:
        self.signer = signer

    @property
    def ready(self) -> bool:
        """Whether tickets can be signed, or need not be."""
        return self.signer is None or self.signer.ready

    @property
    def key_created_s(self) -> float | None:
        """When the key that signs was made, in seconds since 1970; None where none signs."""
        return None if self.signer is None else self.signer.key_created_s

    def of(self, instance: Instance, caller: Caller) -> HandedTicket | None:
        """The ticket for one instance; None where it wants none, or none is signed. Raises Refusal without a key."""
        if self.signer is None or instance.auth != TICKET_AUTH:
            return None
        instance_id = stable_id(instance.service, instance.host, instance.port)
        return self._handed(self.signer, lambda signer: signer.ticket(caller, instance.service, instance_id))

    def for_service(self, service: str, caller: Caller, limits: Limits) -> HandedTicket:
        """A ticket for every worker of a service. Raises Refusal where none can be signed."""
        if self.signer is None:
            raise Refusal(404, "This lookup service signs no tickets: it does so if started with --ticket-keys.")
        if limits is NO_LIMITS:
            return self._handed(self.signer, lambda signer: signer.ticket(caller, service))
        return self._handed(self.signer, lambda signer: signer.narrow_ticket(caller, service, limits))

    def _handed(self, signer: TicketSigner, sign: Callable[[TicketSigner], str]) -> HandedTicket:
        try:
            return HandedTicket(sign(signer), signer.lifetime_s)
        except NoSigningKey:
            raise Refusal(
                503, "No ticket can be signed yet: Consul has not taken this host's new key.", again=True
            ) from None


def add_tickets(app: web.Application, directory: Directory, tickets: LookupTickets) -> None:
    """Add the route that hands out tickets without an address."""

    async def handle(request: web.Request) -> web.Response:
        service = await service_named(directory, request.match_info["service"], caller_of(request))
        ticket = tickets.for_service(service.name, caller_of(request), _limits(request))
        body = {"service": service.name, "ticket": ticket.text, "expires_in_s": ticket.expires_in_s}
        return web.json_response(body, headers={"Cache-Control": "no-store"})

    app.router.add_get("/tickets/{service}", handle)


def _limits(request: web.Request) -> Limits:
    query = request.query
    if not query.keys() & {"max_body", "max_requests", "deadline"}:
        return NO_LIMITS
    max_requests = _whole(query.get("max_requests"), "max_requests")
    return Limits(
        max_body_bytes=_whole(query.get("max_body"), "max_body"),
        max_requests=max_requests,
        ticket_id=None if max_requests is None else secrets.token_urlsafe(_ID_BYTES),
        deadline_s=_seconds(query.get("deadline")),
    )


def _whole(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16 and 0 < int(text) <= LARGEST_NUMBER):
        raise Refusal(400, f"{name}={text[:40]} cannot be used: give a whole number of at least 1.")
    return int(text)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LARGEST_NUMBER:
        raise Refusal(400, f"deadline={text[:40]} cannot be used: give seconds, such as 2.5.")
    return seconds
