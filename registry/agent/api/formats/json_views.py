"""Consul's JSON for what the agent knows: records in, objects with Consul's names in Consul's order out. Pure.

Consul shows the same service in three shapes (that of the agent, of the health endpoint and of the catalogue); each
shape has its function here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from json import dumps

from registry.agent.state.coordinates import Coordinate
from registry.agent.state.events import Event
from registry.agent.state.kv import Pair
from registry.agent.state.records import Check, Node, Service, Status
from registry.agent.state.sessions import Session

Json = dict[str, object]

# What the agent's own health endpoint says about every check.
_NO_DEFINITION: Json = {
    "Interval": "0s",
    "Timeout": "0s",
    "DeregisterCriticalServiceAfter": "0s",
    "HTTP": "",
    "Header": None,
    "Method": "",
    "Body": "",
    "TLSSkipVerify": False,
    "TCP": "",
}
_NO_PROXY: Json = {"MeshGateway": {}, "Expose": {}}


def agent_service(service: Service) -> Json:
    """A service as /v1/agent/services has it."""
    return {
        "ID": service.id,
        "Service": service.name,
        "Tags": list(service.tags),
        "Meta": dict(service.meta),
        "Port": service.port,
        "Address": service.address,
        **_tagged(service),
        "Weights": _weights(service),
        "EnableTagOverride": service.enable_tag_override,
    }


def content_hash(service: Service) -> str:
    """16 hexadecimal digits that change when the service's definition does."""
    return blake2b(dumps(agent_service(service), sort_keys=True).encode(), digest_size=8).hexdigest()


def health_service(service: Service) -> Json:
    """A service as /v1/health/service and /v1/catalog/node have it."""
    return {
        "ID": service.id,
        "Service": service.name,
        "Tags": list(service.tags),
        "Address": service.address,
        **_tagged(service),
        "Meta": dict(service.meta) or None,
        "Port": service.port,
        "Weights": _weights(service),
        "EnableTagOverride": service.enable_tag_override,
        "Proxy": _NO_PROXY,
        "Connect": {},
        "CreateIndex": service.created,
        "ModifyIndex": service.modified,
    }


def catalog_service(node: Node, service: Service) -> Json:
    """A service as /v1/catalog/service has it, with its node."""
    tagged = _tagged(service)
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": dict(node.tagged_addresses) or None,
        "NodeMeta": dict(node.meta) or None,
        "ServiceKind": "",
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": list(service.tags),
        "ServiceAddress": service.address,
        **{f"Service{name}": value for name, value in tagged.items()},
        "ServiceWeights": _weights(service),
        "ServiceMeta": dict(service.meta),
        "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": _NO_PROXY,
        "ServiceConnect": {},
        "CreateIndex": service.created,
        "ModifyIndex": service.modified,
    }


def node_entry(node: Node) -> Json:
    """A node as /v1/catalog/nodes has it."""
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": dict(node.tagged_addresses) or None,
        "Meta": dict(node.meta) or None,
        "CreateIndex": node.created,
        "ModifyIndex": node.modified,
    }


def catalog_check(check: Check) -> Json:
    """A check as the health endpoints have it."""
    return _check(check) | {"CreateIndex": check.created, "ModifyIndex": check.modified}


def agent_check(check: Check) -> Json:
    """A check as /v1/agent/checks has it: agents know no indexes."""
    return _check(check) | {"Definition": {}, "CreateIndex": 0, "ModifyIndex": 0}


def agent_health_check(check: Check) -> Json:
    """A check as /v1/agent/health has it."""
    tags = list(check.service_tags) or None
    return agent_check(check) | {"ServiceTags": tags, "Type": "", "Definition": _NO_DEFINITION}


def aggregated(checks: Iterable[Check]) -> str:
    """Consul's word for several checks together, the worst first: maintenance, critical, warning, passing."""
    checks = list(checks)
    if any(check.kind == "maintenance" for check in checks):
        return "maintenance"
    found = {check.status for check in checks}
    return next((s.value for s in (Status.CRITICAL, Status.WARNING) if s in found), Status.PASSING.value)


def pair_entry(pair: Pair) -> Json:
    """A key's entry: its value in base 64, null if it is empty, and the session that has locked it, if any."""
    return {
        "LockIndex": pair.lock_index,
        "Key": pair.key,
        "Flags": pair.flags,
        "Value": b64encode(pair.value).decode() or None,
        **({"Session": pair.session} if pair.session else {}),
        "CreateIndex": pair.created,
        "ModifyIndex": pair.modified,
    }


def session_entry(session: Session) -> Json:
    """A session as /v1/session has it; the lock delay is in nanoseconds."""
    service_checks = session.service_checks
    return {
        "ID": session.id,
        "Name": session.name,
        "Node": session.node,
        "LockDelay": round(session.lock_delay_s * 1e9),
        "Behavior": session.behavior,
        "TTL": session.ttl,
        "NodeChecks": list(session.node_checks),
        "ServiceChecks": None
        if service_checks is None
        else [{"ID": check_id, "Namespace": namespace} for check_id, namespace in service_checks],
        **({"Checks": list(session.checks)} if session.checks else {}),
        "CreateIndex": session.created,
        "ModifyIndex": session.created,
    }


def event_entry(event: Event) -> Json:
    """An event as /v1/event has it."""
    return {
        "ID": event.id,
        "Name": event.name,
        "Payload": None if event.payload is None else b64encode(event.payload).decode(),
        "NodeFilter": event.node_filter,
        "ServiceFilter": event.service_filter,
        "TagFilter": event.tag_filter,
        "Version": 1,
        "LTime": event.time,
    }


def coordinate_entry(node: str, segment: str, coordinate: Coordinate) -> Json:
    """A node's coordinate as /v1/coordinate has it."""
    return {"Node": node, "Segment": segment, "Coord": coordinate_point(coordinate)}


def coordinate_point(coordinate: Coordinate) -> Json:
    """A coordinate without the node that stands there."""
    return {
        "Vec": list(coordinate.vector),
        "Error": coordinate.error,
        "Adjustment": coordinate.adjustment,
        "Height": coordinate.height,
    }


def _check(check: Check) -> Json:
    return {
        "Node": check.node,
        "CheckID": check.id,
        "Name": check.name,
        "Status": str(check.status),
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": list(check.service_tags),
        "Type": check.kind,
        "Definition": dict(check.definition),
    }


def _weights(service: Service) -> Mapping[str, int]:
    return {"Passing": service.weights.passing, "Warning": service.weights.warning}


def _tagged(service: Service) -> Json:
    """The field TaggedAddresses; Consul leaves it out where there are none."""
    if not service.tagged_addresses:
        return {}
    entries = service.tagged_addresses.items()
    return {"TaggedAddresses": {tag: {"Address": host, "Port": port} for tag, (host, port) in entries}}
