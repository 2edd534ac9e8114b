"""/v1/agent: what this agent itself holds and runs. Translates requests into the verbs of `agent`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from registry.agent.agent import Agent
from registry.agent.api.blocking.blocking_query import query_options
from registry.agent.api.blocking.waiting import WaitingRequests
from registry.agent.api.formats.filter_fields import HEALTH_CHECK, NODE_SERVICE
from registry.agent.api.formats.json_body import decode_object
from registry.agent.api.formats.json_views import (
    Json,
    agent_check,
    agent_health_check,
    agent_service,
    aggregated,
    content_hash,
)
from registry.agent.api.formats.message import Query, Request, Response, boolean, flag, json_response, text_response
from registry.agent.api.formats.registration_body import check_definition, service_definition
from registry.agent.api.selection import filter_of
from registry.agent.api.self_description import describe, member
from registry.agent.errors import ApiError, BadRequest
from registry.agent.state.catalog import SERVICES
from registry.agent.state.index import Topic
from registry.agent.state.records import Service, Status

# The statuses of the agent's own health endpoint, as load balancers want them.
_HEALTH_STATUS = {"passing": 200, "warning": 429, "critical": 503, "maintenance": 503}
_WORST_FIRST = ("maintenance", "critical", "warning", "passing")


class AgentApi:
    """The handlers of /v1/agent; each takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, agent: Agent, waiting: WaitingRequests) -> None:
        self._agent = agent
        self._waiting = waiting

    async def services(self, request: Request) -> Response:
        """GET services: all services by id; ?filter= narrows it."""
        query_options(request.query, self._agent.node)
        wanted = filter_of(request, NODE_SERVICE, failure_headers={})
        entries = {service_id: agent_service(service) for service_id, service in self._agent.services.items()}
        return json_response({service_id: entry for service_id, entry in entries.items() if wanted(entry)}, request)

    async def service(self, request: Request) -> Response:
        """GET service/ID: one service; with ?hash= of what the client knows, waits until it is another."""
        wait_s = query_options(request.query, self._agent.node).wait_s
        known = request.query.text("hash")

        def waits_for() -> Topic | None:
            return SERVICES if known == content_hash(self._known(request.rest)) else None

        await self._waiting.wait(request.client, wait_s, waits_for)
        service = self._known(request.rest)
        value = content_hash(service)
        headers = {"X-Consul-ContentHash": value}
        return json_response(agent_service(service) | {"ContentHash": value}, request, headers=headers)

    def _known(self, service_id: str) -> Service:
        service = self._agent.service(service_id)
        if service is None:
            raise ApiError(404, f"unknown service ID: {service_id}")
        return service

    async def checks(self, request: Request) -> Response:
        """GET checks: all checks by id; ?filter= narrows it."""
        query_options(request.query, self._agent.node)
        wanted = filter_of(request, HEALTH_CHECK, failure_headers={})
        entries = {check_id: agent_check(check) for check_id, check in self._agent.checks.items()}
        return json_response({check_id: entry for check_id, entry in entries.items() if wanted(entry)}, request)

    async def register(self, request: Request) -> Response:
        """PUT service/register."""
        definition = service_definition(decode_object(request.body))
        self._agent.register(definition, replace_checks=flag(request.query, "replace-existing-checks"))
        return Response()

    async def deregister(self, request: Request) -> Response:
        """PUT service/deregister/ID."""
        if not request.rest:
            raise BadRequest("ServiceID missing")
        self._agent.deregister(request.rest)
        return Response()

    async def maintain_service(self, request: Request) -> Response:
        """PUT service/maintenance/ID?enable=true&reason=..."""
        if not request.rest:
            raise BadRequest("Missing service ID")
        enable = _enable(request.query)
        service = self._agent.service(request.rest)
        if service is None:
            raise ApiError(404, f'No service registered with ID "{request.rest}"')
        self._agent.maintain(service, enable=enable, reason=request.query.text("reason"))
        return Response()

    async def maintain_node(self, request: Request) -> Response:
        """PUT maintenance?enable=true&reason=..."""
        self._agent.maintain(None, enable=_enable(request.query), reason=request.query.text("reason"))
        return Response()

    async def register_check(self, request: Request) -> Response:
        """PUT check/register."""
        self._agent.register_check(check_definition(decode_object(request.body)))
        return Response()

    async def deregister_check(self, request: Request) -> Response:
        """PUT check/deregister/ID."""
        if not request.rest:
            raise BadRequest("CheckID missing")
        self._agent.deregister_check(request.rest)
        return Response()

    def heartbeat(self, status: Status) -> Callable[[Request], Awaitable[Response]]:
        """PUT check/pass|warn|fail/ID?note=...: the handler that reports `status`."""

        async def handler(request: Request) -> Response:
            self._agent.heartbeat(request.rest, status, request.query.text("note"))
            return Response()

        return handler

    async def update(self, request: Request) -> Response:
        """PUT check/update/ID with {"Status", "Output"}."""
        fields = decode_object(request.body)
        fields.only(("Status", "Output"))
        status = fields.text("Status")
        if status not in tuple(Status):
            raise BadRequest(f"Invalid check status: '{status}'")
        self._agent.heartbeat(request.rest, Status(status), fields.text("Output"))
        return Response()

    async def health_by_id(self, request: Request) -> Response:
        """GET health/service/id/ID: 200, 429 or 503 by the worst of its checks and the node's."""
        service = self._agent.service(request.rest)
        if service is None:
            reason = f"ServiceId {request.rest} not found"
            value: object = {"AggregatedStatus": "critical", "Service": None, "Checks": None}
            value = reason if request.query.text("format") == "text" else value
            return json_response(value, request, status=404, headers={"X-Consul-Reason": reason})
        status, health = self._health(service)
        return _health_response(request, status, health)

    async def health_by_name(self, request: Request) -> Response:
        """GET health/service/name/NAME: all instances, and the status of the worst."""
        services = [service for service in self._agent.services.values() if service.name == request.rest]
        if not services:
            reason = f"ServiceName {request.rest} Not Found"
            value: object = reason if request.query.text("format") == "text" else []
            return json_response(value, request, status=404, headers={"X-Consul-Reason": reason})
        found = [self._health(service) for service in services]
        statuses = {status for status, _ in found}
        worst = next(status for status in _WORST_FIRST if status in statuses)
        return _health_response(request, worst, [health for _, health in found])

    def _health(self, service: Service) -> tuple[str, Json]:
        """The status of a service with all its checks, and both as JSON."""
        checks = [*self._agent.checks_of(service.id), *self._agent.checks_of("")]
        status = aggregated(checks)
        entries = [agent_health_check(check) for check in checks]
        return status, {"AggregatedStatus": status, "Service": agent_service(service), "Checks": entries}

    async def members(self, request: Request) -> Response:
        """GET members: this node, alone; with ?wan=1 its name has the datacenter behind it."""
        return json_response([member(self._agent, wan=bool(request.query.text("wan")))], request)

    async def self(self, request: Request) -> Response:
        """GET self: who this agent is; what tools read of it, not Consul's whole configuration."""
        return json_response(describe(self._agent), request)


def _health_response(request: Request, status: str, value: object) -> Response:
    headers = {"X-Consul-Reason": status}
    if request.query.text("format") == "text":
        return text_response(_HEALTH_STATUS[status], status, {"Content-Type": "text/plain", **headers})
    return json_response(value, request, status=_HEALTH_STATUS[status], headers=headers)


def _enable(query: Query) -> bool:
    text = query.text("enable")
    if not text:
        raise BadRequest("Missing value for enable")
    enable = boolean(text)
    if enable is None:
        raise BadRequest(f'Invalid value for enable: "{text}"')
    return enable
