"""Lets a request through only with a ticket for it, where the worker requires tickets; no body is read before.

A ticket comes as `Authorization: Bearer TICKET` or in the query as `?ticket=TICKET`. Every path that is not
open needs one but /metrics, which is answered to this machine alone: whoever scrapes it here needs no secret, and the
network sees nothing.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from registry.security.access import bearer_token
from registry.security.tickets.ticket import Ticket, TicketRefused
from registry.security.tickets.ticket_check import Asked, TicketCheck
from worker.errors import Busy, Forbidden, TooLarge, Unauthorized, WorkerError, WrongWorker
from worker.repository.repository import ModelRepository
from worker.web.request import IncomingRequest

METRICS = "/metrics"

_NEEDED = "A ticket is needed here: ask the lookup service for an address (GET /next), which comes with one."


class TicketGate:
    """The gate of one port, whose default model is `service`; `services` are all that this worker serves.

    `instance_ids` are the worker's registrations, as far as they are known.
    """

    def __init__(
        self, check: TicketCheck, *, service: str, services: Collection[str], instance_ids: Collection[str]
    ) -> None:
        self._check = check
        self._service = service
        self._services = services
        self._instance_ids = instance_ids

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
        text = request.query.get("ticket") or bearer_token(request.headers.get("Authorization"))
        if not text:
            raise Unauthorized(_NEEDED)
        now_s = time.time()
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
        return ticket


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
