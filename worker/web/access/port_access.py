"""Which requests one port of a worker answers: names of hosts, tokens or tickets, quotas; no body is read before.

Where tickets are required, they permit predictions and what describes models, and a token only /metrics; else tokens
permit all of it. OPEN paths answer yes or no to everybody.
"""

from __future__ import annotations

from collections.abc import Set

from registry.security.access import check_service
from registry.security.access_control import AccessControl
from registry.security.caller import ANONYMOUS, Caller, Role
from registry.security.permission import UNLIMITED, Permission
from registry.security.tickets.ticket import NO_LIMITS, Limits, Ticket
from worker.web.access.ticket_gate import METRICS, TicketGate, asked_service
from worker.web.request import IncomingRequest

OPEN = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})


class PortAccess:
    """The access to one port, whose default model is `service`; `tickets` None: no ticket is required.

    Everybody may ask for `open_paths`, which are exact paths.
    """

    def __init__(
        self,
        control: AccessControl,
        *,
        service: str,
        tickets: TicketGate | None = None,
        open_paths: Set[str] = OPEN,
    ) -> None:
        self.origins = control.origins
        self.restricted = control.restricted or tickets is not None
        self._control = control
        self._service = service
        self._tickets = tickets
        self._open_paths = open_paths

    def admit(self, request: IncomingRequest) -> Permission:
        """What permits the request, which is counted. Raises WorkerError, AccessDenied, OverQuota where nothing does.

        The places of the permission are the caller's to release.
        """
        control = self._control
        if control.checks_hosts:
            control.check_host(request.headers)
        if self._tickets is not None:
            known = self._tickets.known(request)
            if known is not None:
                return known
        if request.path in self._open_paths:
            return UNLIMITED
        caller, limits = self._permitted(request, count=True)
        control.count(caller)
        return Permission(caller.name, limits, control.quotas.place(caller))

    def check_ahead(self, request: IncomingRequest) -> None:
        """Raise what `admit` would; counts nothing."""
        self._control.check_host(request.headers)
        if request.path not in self._open_paths:
            caller, _ = self._permitted(request, count=False)
            self._control.check_quota(caller)

    def tells_details(self, request: IncomingRequest) -> bool:
        """Whether a request at an open path comes from somebody who may use this worker."""
        if not self.restricted:
            return True
        if self._tickets is not None and self._tickets.permits(request):
            return True
        return self._control.restricted and self._control.known_caller(request.headers, Role.CLIENT) is not None

    def _permitted(self, request: IncomingRequest, *, count: bool) -> tuple[Caller, Limits]:
        """Who asks, and the limits of the ticket."""
        if request.path == METRICS and self._control.restricted:
            return self._control.caller(request.headers, Role.OPERATOR), NO_LIMITS
        if self._tickets is not None:
            ticket = self._tickets.admit(request, count=count)
            return (ANONYMOUS, NO_LIMITS) if ticket is None else (_holder(ticket), ticket.limits)
        caller = self._control.caller(request.headers, Role.CLIENT)
        service = asked_service(request, self._service)
        if service is not None:
            check_service(caller, service)
        return caller, NO_LIMITS


def _holder(ticket: Ticket) -> Caller:
    """The caller whom the lookup service gave the ticket to, as far as quotas and the queue need to know it."""
    return Caller(ticket.caller, frozenset(), quota=ticket.quota)
