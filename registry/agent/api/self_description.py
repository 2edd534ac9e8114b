"""How the agent describes itself: as a member of a cluster of one, and with its figures, in Consul's fields."""

from __future__ import annotations

import os
import platform
import threading

from registry.agent.agent import Agent
from registry.agent.api.formats.json_views import Json, coordinate_point
from registry.agent.api.operator import raft_address
from registry.agent.state.coordinates import Coordinate

_ALIVE = 1
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def describe(agent: Agent) -> Json:
    """The object of agent/self."""
    node = agent.node
    identity = {"Datacenter": node.datacenter, "NodeName": node.name, "NodeID": node.id}
    return {
        "Config": {**identity, "Revision": "", "Server": True, "Version": agent.version},
        "DebugConfig": {
            **identity,
            "ACLsEnabled": False,
            "ConnectEnabled": False,
            "DevMode": True,
            "EnableRemoteScriptChecks": False,
            "HTTPPort": agent.port,
            "ServerMode": True,
            "Version": agent.version,
        },
        "Coord": coordinate_point(agent.state.coordinates.get(node.name) or Coordinate()),
        "Member": member(agent),
        "Stats": _stats(agent),
        "Meta": dict(node.meta),
    }


def member(agent: Agent, *, wan: bool = False) -> Json:
    """The agent as a member of its cluster; in the wide area network its name has the datacenter's behind it."""
    node = agent.node
    return {
        "Name": f"{node.name}.{node.datacenter}" if wan else node.name,
        "Addr": node.address,
        "Port": agent.port,
        "Tags": {
            "acls": "0",
            "bootstrap": "1",
            "build": f"{agent.version}:",
            "dc": node.datacenter,
            "ft_fs": "1",
            "id": node.id,
            "port": str(agent.port),
            "raft_vsn": "3",
            "role": "consul",
            "segment": "",
            "vsn": "2",
            "vsn_max": "3",
            "vsn_min": "2",
        },
        "Status": _ALIVE,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    }


def _stats(agent: Agent) -> dict[str, dict[str, str]]:
    return {
        "agent": _agent_stats(agent),
        "build": {"prerelease": "embedded", "revision": "", "version": agent.version},
        "consul": {
            "acl": "disabled",
            "bootstrap": "true",
            "known_datacenters": "1",
            "leader": "true",
            "leader_addr": raft_address(agent),
            "server": "true",
        },
        "raft": _raft_stats(agent),
        "runtime": {
            "arch": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "cpu_count": str(os.cpu_count() or 1),
            "goroutines": str(threading.active_count()),
            "max_procs": "1",
            "os": platform.system().lower(),
            "version": f"python{platform.python_version()}",
        },
        "serf_lan": {
            "coordinate_resets": "0",
            "encrypted": "false",
            "event_queue": "0",
            "event_time": str(agent.state.events.time),
            "failed": "0",
            "health_score": "0",
            "intent_queue": "0",
            "left": "0",
            "member_time": "1",
            "members": "1",
            "query_queue": "0",
            "query_time": "1",
        },
    }


def _agent_stats(agent: Agent) -> dict[str, str]:
    checks = agent.checks
    return {
        "check_monitors": "0",
        "check_ttls": str(sum(check.kind == "ttl" for check in checks.values())),
        "checks": str(len(checks)),
        "services": str(len(agent.services)),
    }


def _raft_stats(agent: Agent) -> dict[str, str]:
    index = str(agent.state.changes.index)
    suffrage = f"{{Suffrage:Voter ID:{agent.node.id} Address:{raft_address(agent)}}}"
    return {
        "applied_index": index,
        "commit_index": index,
        "fsm_pending": "0",
        "last_contact": "0",
        "last_log_index": index,
        "last_log_term": "2",
        "last_snapshot_index": "0",
        "last_snapshot_term": "0",
        "latest_configuration": f"[{suffrage}]",
        "latest_configuration_index": "0",
        "num_peers": "0",
        "protocol_version": "3",
        "protocol_version_max": "3",
        "protocol_version_min": "0",
        "snapshot_version_max": "1",
        "snapshot_version_min": "0",
        "state": "Leader",
        "term": "2",
    }
