"""Lets a request through only with a ticket for it, where the worker requires tickets; no body is read before.

A ticket comes as `Authorization: Bearer TICKET` or in the query as `?ticket=TICKET`. Every path that is not
open needs one but /metrics, which is answered to this machine alone: whoever scrapes it here needs no secret, and the
network sees nothing.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from multidict import istr

from registry.security.access import bearer_token
from registry.security.permission import Permission
from registry.security.tickets.ticket import NO_LIMITS, NO_QUOTA, SKEW_S, Ticket, TicketRefused
from registry.security.tickets.ticket_check import KEPT_AT_MOST, Asked, TicketCheck
from worker.errors import Busy, Forbidden, TooLarge, Unauthorized, WorkerError, WrongWorker
from worker.repository.repository import ModelRepository
from worker.web.request import IncomingRequest

METRICS = "/metrics"

_AUTHORIZATION = istr("Authorization")  # the mapping of headers need not change the case of its letters again

_NEEDED = "A ticket is needed here: ask the lookup service for an address (GET /next), which comes with one."


class TicketGate:
    """The gate of one port, whose default model is `service`; `services` are all that this worker serves.

    `instance_ids` are the worker's registrations, as far as they are known.
    """

    def __init__(
        self,
        check: TicketCheck,
        *,
        service: str,
        services: Collection[str],
        instance_ids: Collection[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._check = check
        self._service = service
        self._services = services
        self._instance_ids = instance_ids
        self._clock = clock
        self._known: dict[str, _KnownTicket] = {}  # by the Authorization headers that held them
        check.on_new_keys.append(self._known.clear)

    def known(self, request: IncomingRequest) -> Permission | None:
        """What permits a `POST /` whose ticket has permitted one before; None where `admit` has to decide.

        Only tickets without limits and quota are known: of these, time and worker are all that can have changed. A
        function of its own, because every request of the fast path comes through here.
        """
        known = self._known.get(request.headers.get(_AUTHORIZATION, ""))
        if known is None or request.path != "/" or "ticket" in request.query:
            return None
        if not known.from_s <= self._clock() < known.until_s:
            return None
        return known.permission if known.instance_id is None or known.instance_id in self._instance_ids else None

    def admit(self, request: IncomingRequest, *, count: bool = True) -> Ticket | None:
        """The ticket that permits the request; None at /metrics, which needs none on this machine.

        The request is counted if `count` says so. Raises WorkerError where no ticket permits it.
        """
        if request.path == METRICS:
            _check_local(request)
            return None
        return self._permitted(request, count=count)

    def permits(self, request: IncomingRequest) -> bool:
        """Whether the request carries a valid ticket, at a path that is open without one."""
        try:
            self._permitted(request, count=False)
        except WorkerError:
            return False
        return True

    def _permitted(self, request: IncomingRequest, *, count: bool) -> Ticket:
        in_query, header = request.query.get("ticket"), request.headers.get("Authorization")
        text = in_query or bearer_token(header)
        if not text:
            raise Unauthorized(_NEEDED)
        now_s = self._clock()
        try:
            ticket = self._check.check(
                text,
                Asked(asked_service(request, self._service), request.content_length),
                instance_ids=self._instance_ids,
                services=self._services,
                now_s=now_s,
            )
            if count:
                self._check.count(ticket, now_s)
        except TicketRefused as refused:
            raise _as_worker_error(refused) from None
        if header is not None and not in_query:
            self._remember(header, ticket)
        return ticket

    def _remember(self, header: str, ticket: Ticket) -> None:
        """Let `known` find the ticket in later requests to `/`, where it permits any number of them."""
        if ticket.service != self._service or ticket.limits is not NO_LIMITS or ticket.quota is not NO_QUOTA:
            return
        if len(self._known) >= KEPT_AT_MOST:
            self._known.clear()
        self._known[header] = _KnownTicket(
            ticket.issued_s - SKEW_S, ticket.expires_s + SKEW_S, ticket.instance_id, Permission(ticket.caller)
        )


class _KnownTicket(NamedTuple):
    """A verified ticket without limits and quota: when and where it permits requests for the port's own service."""

    from_s: int
    until_s: int
    instance_id: str | None
    permission: Permission


@dataclass(frozen=True, slots=True)
class RequiredTickets:
    """What checks the tickets that all ports of a worker require; `instance_ids` are the worker's registrations."""

    check: TicketCheck
    instance_ids: set[str] = field(default_factory=set)

    def gate(self, models: ModelRepository) -> TicketGate:
        """The gate of the port of the default model."""
        return TicketGate(self.check, service=models.default, services=models.names, instance_ids=self.instance_ids)


def asked_service(request: IncomingRequest, default: str) -> str | None:
    """The service that the request is for: the port's own at `/`, else the model in its path; None without one.

    The name is the one that the handler gets, so that no spelling of a path can mean another model there.
    """
    return default if request.path == "/" else request.match_info.get("name")


def _check_local(request: IncomingRequest) -> None:
    try:
        address = ipaddress.ip_address(request.remote or "")
    except ValueError:
        address = ipaddress.ip_address("0.0.0.0")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if not address.is_loopback:
        raise Forbidden("This worker requires tickets, so /metrics is answered on its own machine only.")


def _as_worker_error(refused: TicketRefused) -> WorkerError:
    sentence = str(refused)
    match refused.status:
        case 403:
            return Forbidden(sentence)
        case 413:
            return TooLarge(sentence)
        case 421:
            return WrongWorker(sentence)
        case 503:
            return Busy(sentence, retry_after_s=1.0)
    return Unauthorized(sentence, error="invalid_token")
