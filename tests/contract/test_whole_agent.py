"""What an agent says of itself and of its cluster, and how it answers for what is switched off in it."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Api

NO_CONNECT = "Connect must be enabled in order to use this endpoint"
NO_ACL = "ACL support disabled"


async def test_members(api: Api, node: str) -> None:
    """The one member is the agent's own node; in the wide area network its name has the datacenter's behind it."""
    own = (await api.get("agent/self")).json
    (member,) = (await api.get("agent/members")).json
    assert member == own["Member"]
    assert (member["Name"], member["Status"]) == (node, 1)
    tags = {
        "acls", "bootstrap", "build", "dc", "ft_fs", "id", "port", "raft_vsn", "role", "segment", "vsn", "vsn_max",
        "vsn_min",
    }  # fmt: skip
    assert tags <= member["Tags"].keys()
    (wan,) = (await api.get("agent/members?wan=1")).json
    assert wan["Name"] == f"{node}.dc1"


async def test_the_agent_itself(api: Api) -> None:
    """agent/self has Consul's parts, with the figures that tools read: the leader's address and Raft's state."""
    own = (await api.get("agent/self")).json
    assert set(own) == {"Config", "DebugConfig", "Coord", "Member", "Stats", "Meta"}
    stats = own["Stats"]
    assert set(stats) == {"agent", "build", "consul", "raft", "runtime", "serf_lan"} | stats.keys() & {"serf_wan"}
    leader = (await api.get("status/leader")).json
    assert (stats["consul"]["leader_addr"], (await api.get("status/peers")).json) == (leader, [leader])
    assert (stats["consul"]["leader"], stats["consul"]["server"], stats["raft"]["state"]) == ("true", "true", "Leader")
    assert stats["raft"]["num_peers"] == "0"
    assert leader in stats["raft"]["latest_configuration"]
    assert {type(value) for group in stats.values() for value in group.values()} == {str}


async def test_the_raft_cluster(api: Api, node: str) -> None:
    """The agent is the only server, the leader, healthy, and a server that is not there cannot be removed."""
    (server,) = (await api.get("operator/raft/configuration")).json["Servers"]
    own = (await api.get("agent/self")).json["Config"]
    assert server == {
        "ID": own["NodeID"], "Node": node, "Address": (await api.get("status/leader")).json, "Leader": True,
        "ProtocolVersion": "3", "Voter": True,
    }  # fmt: skip
    health = (await api.until("operator/autopilot/health", lambda found: found["Servers"])).json
    assert (health["Healthy"], health["FailureTolerance"], health["Servers"][0]["Name"]) == (True, 0, node)
    assert (await api.get("operator/autopilot/configuration")).json["CleanupDeadServers"] is True
    for what in ("id", "address"):
        reply = await api.ask("DELETE", f"operator/raft/peer?{what}=none")
        assert (reply.status, reply.text) == (500, f'{what} "none" was not found in the Raft configuration')


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "acl/tokens", 401, NO_ACL),
        ("PUT", "acl/bootstrap", 401, NO_ACL),
        ("PUT", "acl/token", 401, NO_ACL),
        ("POST", "acl/login", 401, NO_ACL),
        ("DELETE", "acl/policy/a", 401, NO_ACL),
        ("PUT", "agent/token/default", 401, NO_ACL),
        ("GET", "connect/ca/roots", 500, NO_CONNECT),
        ("GET", "connect/ca/configuration", 500, NO_CONNECT),
        ("GET", "agent/connect/ca/roots", 500, NO_CONNECT),
        ("GET", "agent/connect/ca/leaf/a", 500, NO_CONNECT),
        ("GET", "discovery-chain/a", 500, NO_CONNECT),
        ("GET", "connect/intentions", 200, "[]"),
        ("GET", "config/service-defaults", 200, "[]"),
        ("GET", "config/service-defaults/a", 404, 'Config entry not found for "service-defaults" / "a"'),
        ("DELETE", "config/service-defaults/a", 200, "{}"),
        ("GET", "query", 200, "[]"),
        ("GET", "query/a/execute", 404, "Query not found"),
        ("GET", "health/connect/a", 200, "[]"),
        ("GET", "health/connect/", 400, "Missing service name"),
        ("GET", "health/ingress/a", 200, "[]"),
        ("GET", "health/ingress/", 400, "Missing service name"),
        ("GET", "catalog/connect/a", 200, "[]"),
        ("GET", "catalog/gateway-services/a", 200, "null"),
        ("GET", "catalog/gateway-services/", 400, "Missing gateway name"),
        ("PUT", "agent/force-leave/none", 500, "agent: No node found with name 'none'"),
        ("PUT", "agent/reload", 200, ""),
        ("GET", "agent/monitor?loglevel=none", 400, "Bad request: Unknown log level: none"),
        ("GET", "agent/metrics?format=prometheus", 415,
         "Prometheus is not enabled since its retention time is not positive"),
        ("DELETE", "operator/raft/peer", 400, "Bad request: Must specify either ?id with the server's ID or "
         "?address with IP:port of peer to remove"),
        ("DELETE", "operator/raft/peer?id=a&address=b", 400, "Bad request: Must specify only one of ?id or ?address"),
        ("GET", "namespaces", 404, ""),
        ("GET", "operator/usage", 404, ""),
    ],
)  # fmt: skip
async def test_what_is_switched_off(api: Api, method: str, path: str, status: int, text: str) -> None:
    """What is switched off, or does not exist in 1.8, is answered with Consul's status and sentence."""
    reply = await api.ask(method, path)
    assert (reply.status, reply.text.strip()) == (status, text)


async def test_no_encryption(api: Api, node: str) -> None:
    """Without encryption there is no keyring, as the one node reports."""
    reply = await api.get("operator/keyring")
    assert reply.status == 500
    assert f"* {node}: Keyring is empty (encryption not enabled)" in reply.text


async def test_no_scripts(api: Api) -> None:
    """A check that runs a script is refused where scripts are switched off."""
    reply = await api.put("agent/check/register", {"Name": "a", "Args": ["true"], "Interval": "10s"})
    assert (reply.status, reply.text) == (
        500,
        "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
    )
