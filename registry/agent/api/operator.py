"""/v1/status and /v1/operator: the Raft cluster, of which this agent is the only server, as Consul describes it."""

from __future__ import annotations

from datetime import UTC, datetime

from registry.agent.agent import Agent
from registry.agent.api.formats.message import Request, Response, json_response
from registry.agent.errors import ApiError, BadRequest
from registry.runtime.address import host_port


def raft_address(agent: Agent) -> str:
    """The address that Consul would give as that of this server: here the one of its HTTP API."""
    return host_port(agent.node.address, agent.port)


class OperatorApi:
    """The handlers; each takes a Request and returns a Response, or raises ApiError."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def leader(self, request: Request) -> Response:
        """GET status/leader: this agent's address."""
        return json_response(raft_address(self._agent), request)

    async def peers(self, request: Request) -> Response:
        """GET status/peers: this agent's address, alone."""
        return json_response([raft_address(self._agent)], request)

    async def raft_configuration(self, request: Request) -> Response:
        """GET operator/raft/configuration: this agent, alone, as leader."""
        server = {
            "ID": self._agent.node.id,
            "Node": self._agent.node.name,
            "Address": raft_address(self._agent),
            "Leader": True,
            "ProtocolVersion": "3",
            "Voter": True,
        }
        return json_response({"Servers": [server], "Index": 0}, request)

    async def remove_raft_peer(self, request: Request) -> Response:
        """DELETE operator/raft/peer: there is no other server that could be removed."""
        server_id, address = request.query.text("id"), request.query.text("address")
        if server_id and address:
            raise BadRequest("Bad request: Must specify only one of ?id or ?address")
        if not (server_id or address):
            choice = "either ?id with the server's ID or ?address with IP:port of peer to remove"
            raise BadRequest(f"Bad request: Must specify {choice}")
        what, value = ("id", server_id) if server_id else ("address", address)
        if value in (self._agent.node.id, raft_address(self._agent)):
            raise ApiError(500, "configuration changes would leave no voters in the cluster")
        raise ApiError(500, f'{what} "{value}" was not found in the Raft configuration')

    async def autopilot_configuration(self, request: Request) -> Response:
        """GET operator/autopilot/configuration: Consul's defaults."""
        value = {
            "CleanupDeadServers": True,
            "LastContactThreshold": "200ms",
            "MaxTrailingLogs": 250,
            "MinQuorum": 0,
            "ServerStabilizationTime": "10s",
            "RedundancyZoneTag": "",
            "DisableUpgradeMigration": False,
            "UpgradeVersionTag": "",
            "CreateIndex": 4,
            "ModifyIndex": 4,
        }
        return json_response(value, request)

    async def autopilot_health(self, request: Request) -> Response:
        """GET operator/autopilot/health: one server, healthy, none to spare."""
        server = {
            "ID": self._agent.node.id,
            "Name": self._agent.node.name,
            "Address": raft_address(self._agent),
            "SerfStatus": "alive",
            "Version": self._agent.version,
            "Leader": True,
            "LastContact": "0s",
            "LastTerm": 2,
            "LastIndex": self._agent.state.changes.index,
            "Healthy": True,
            "Voter": True,
            "StableSince": self._started,
        }
        return json_response({"Healthy": True, "FailureTolerance": 0, "Servers": [server]}, request)
