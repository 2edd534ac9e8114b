"""/v1/agent/...: what this agent itself holds and runs. Translates requests into the verbs of `agent`."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable

from registry.agent.agent import Agent
from registry.agent.api.blocking_query import options
from registry.agent.api.json_body import decode_object
from registry.agent.api.json_views import agent_check, agent_health_check, agent_service, aggregated, content_hash
from registry.agent.api.message import Answer, Call, Query, boolean, flag, json_answer, text_answer
from registry.agent.checks.definitions import check_definition, service_definition
from registry.agent.errors import BadRequest, Refusal
from registry.agent.state.catalog import OWN_CHECK_ID, OWN_SERVICE_ID, SERVICES
from registry.agent.state.records import Service, Status

# Of the agent's own health endpoint: what a load balancer is to see.
_HEALTH_STATUS = {"passing": 200, "warning": 429, "critical": 503, "maintenance": 503}


class AgentApi:
    """The handlers of /v1/agent; each takes a Call and gives an Answer, or raises Refusal."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._node = agent.store.node

    async def services(self, call: Call) -> Answer:
        """GET services: all services by id."""
        options(call.query, self._node)
        return json_answer({i: agent_service(s) for i, s in self._agent.services.items()}, call)

    async def service(self, call: Call) -> Answer:
        """GET service/ID: one service; with ?hash= of what the client knows, waits until it is another."""
        until_s = asyncio.get_running_loop().time() + options(call.query, self._node).wait_s
        known = call.query.text("hash")
        service = self._known(call.rest)
        while known and content_hash(service) == known and not self._agent.store.changes.closed:
            left_s = until_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await self._agent.store.changes.wait(SERVICES, left_s)
            service = self._known(call.rest)
        value = content_hash(service)
        headers = {"X-Consul-ContentHash": value}
        return json_answer(agent_service(service) | {"ContentHash": value}, call, headers=headers)

    def _known(self, service_id: str) -> Service:
        service = self._agent.service(service_id)
        if service is None:
            raise Refusal(404, f"unknown service ID: {service_id}")
        return service

    async def checks(self, call: Call) -> Answer:
        """GET checks: all checks by id."""
        options(call.query, self._node)
        return json_answer({i: agent_check(self._node, c) for i, c in self._agent.checks.items()}, call)

    async def register(self, call: Call) -> Answer:
        """PUT service/register."""
        definition = service_definition(decode_object(call.body))
        self._agent.register(definition, replace_checks=flag(call.query, "replace-existing-checks"))
        return Answer()

    async def deregister(self, call: Call) -> Answer:
        """PUT service/deregister/ID."""
        if not call.rest:
            raise BadRequest("ServiceID missing")
        self._agent.deregister(call.rest)
        return Answer()

    async def maintain_service(self, call: Call) -> Answer:
        """PUT service/maintenance/ID?enable=true&reason=..."""
        if not call.rest:
            raise BadRequest("Missing service ID")
        enable = _enable(call.query)
        service = self._agent.service(call.rest)
        if service is None:
            raise Refusal(404, f'No service registered with ID "{call.rest}"')
        self._agent.maintain(service, enable=enable, reason=call.query.text("reason"))
        return Answer()

    async def maintain_node(self, call: Call) -> Answer:
        """PUT maintenance?enable=true&reason=..."""
        self._agent.maintain(None, enable=_enable(call.query), reason=call.query.text("reason"))
        return Answer()

    async def register_check(self, call: Call) -> Answer:
        """PUT check/register."""
        self._agent.register_check(check_definition(decode_object(call.body)))
        return Answer()

    async def deregister_check(self, call: Call) -> Answer:
        """PUT check/deregister/ID."""
        if not call.rest:
            raise BadRequest("CheckID missing")
        self._agent.deregister_check(call.rest)
        return Answer()

    def beat(self, status: Status) -> Callable[[Call], Awaitable[Answer]]:
        """PUT check/pass|warn|fail/ID?note=...: the handler that reports `status`."""

        async def handler(call: Call) -> Answer:
            self._agent.beat(call.rest, status, call.query.text("note"))
            return Answer()

        return handler

    async def update(self, call: Call) -> Answer:
        """PUT check/update/ID with {"Status", "Output"}."""
        fields = decode_object(call.body)
        fields.only(("Status", "Output"))
        status = fields.text("Status")
        if status not in tuple(Status):
            raise BadRequest(f"Invalid check status: '{status}'")
        self._agent.beat(call.rest, Status(status), fields.text("Output"))
        return Answer()

    async def health_by_id(self, call: Call) -> Answer:
        """GET health/service/id/ID: 200, 429 or 503 by the worst of its checks and the node's."""
        service = self._agent.service(call.rest)
        if service is None:
            reason = f"ServiceId {call.rest} not found"
            value: object = {"AggregatedStatus": "critical", "Service": None, "Checks": None}
            value = reason if call.query.text("format") == "text" else value
            return json_answer(value, call, status=404, headers={"X-Consul-Reason": reason})
        word = self._word(service)
        return _health_answer(call, word, self._health(service, word))

    async def health_by_name(self, call: Call) -> Answer:
        """GET health/service/name/NAME: all instances, and the status of the worst."""
        services = [s for s in self._agent.store.instances(call.rest) if s.id != OWN_SERVICE_ID]
        if not services:
            reason = f"ServiceName {call.rest} Not Found"
            value: object = reason if call.query.text("format") == "text" else []
            return json_answer(value, call, status=404, headers={"X-Consul-Reason": reason})
        words = [self._word(service) for service in services]
        worst = next(w for w in ("maintenance", "critical", "warning", "passing") if w in words)
        return _health_answer(call, worst, [self._health(s, w) for s, w in zip(services, words, strict=True)])

    def _word(self, service: Service) -> str:
        return aggregated(self._agent.store.checks_of(service.id) + self._agent.store.checks_of(""))

    def _health(self, service: Service, word: str) -> dict[str, object]:
        of_node = [check for check in self._agent.store.checks_of("") if check.id != OWN_CHECK_ID]
        mine = self._agent.store.checks_of(service.id) + of_node
        return {
            "AggregatedStatus": word,
            "Service": agent_service(service),
            "Checks": [agent_health_check(self._node, check) for check in mine],
        }

    async def members(self, call: Call) -> Answer:
        """GET members: this node, alone."""
        return json_answer([self._member()], call)

    async def self(self, call: Call) -> Answer:
        """GET self: who this agent is; what tools read of it, not Consul's whole configuration."""
        node, version = self._node, self._agent.version
        value = {
            "Config": {
                "Datacenter": node.datacenter,
                "NodeName": node.name,
                "NodeID": node.id,
                "Revision": "",
                "Server": True,
                "Version": version,
            },
            "DebugConfig": {
                "Datacenter": node.datacenter,
                "NodeName": node.name,
                "NodeID": node.id,
                "DevMode": True,
            },
            "Coord": None,
            "Member": self._member(),
            "Stats": self._stats(),
            "Meta": dict(node.meta),
        }
        return json_answer(value, call)

    def _member(self) -> dict[str, object]:
        node = self._node
        tags = {"build": f"{self._agent.version}:", "dc": node.datacenter, "id": node.id, "role": "consul"}
        return {
            "Name": node.name,
            "Addr": node.address,
            "Port": self._agent.port,
            "Tags": {"acls": "0", "bootstrap": "1", "segment": "", "vsn": "2", **tags},
            "Status": 1,
            "ProtocolMin": 1,
            "ProtocolMax": 5,
            "ProtocolCur": 2,
            "DelegateMin": 2,
            "DelegateMax": 5,
            "DelegateCur": 4,
        }

    def _stats(self) -> dict[str, dict[str, str]]:
        checks = self._agent.checks
        return {
            "agent": {
                "check_monitors": "0",
                "check_ttls": str(sum(check.kind == "ttl" for check in checks.values())),
                "checks": str(len(checks)),
                "services": str(len(self._agent.services)),
            },
            "build": {"prerelease": "embedded", "revision": "", "version": self._agent.version},
            "consul": {"acl": "disabled", "bootstrap": "true", "leader": "true", "server": "true"},
            "raft": {"applied_index": str(self._agent.store.changes.index), "state": "Leader"},
            "runtime": {"os": platform.system().lower(), "cpu_count": str(os.cpu_count() or 1)},
        }


def _health_answer(call: Call, word: str, value: object) -> Answer:
    headers = {"X-Consul-Reason": word}
    if call.query.text("format") == "text":
        return text_answer(_HEALTH_STATUS[word], word, {"Content-Type": "text/plain", **headers})
    return json_answer(value, call, status=_HEALTH_STATUS[word], headers=headers)


def _enable(query: Query) -> bool:
    text = query.text("enable")
    if not text:
        raise BadRequest("Missing value for enable")
    enable = boolean(text)
    if enable is None:
        raise BadRequest(f'Invalid value for enable: "{text}"')
    return enable
