"""Consul's JSON for what the agent knows: records in, objects with Consul's names in Consul's order out. Pure.

Consul shows the same service in three shapes (its agent's, its health endpoint's, its catalogue's); each has
its function here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from json import dumps

from registry.agent.state.kv import Pair
from registry.agent.state.records import Check, Node, Service, Status

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
        "TaggedAddresses": _node_addresses(node),
        "NodeMeta": dict(node.meta),
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


def node_entry(node: Node, index: int) -> Json:
    """The node as /v1/catalog/nodes has it; it never changes after it was made at `index`."""
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": _node_addresses(node),
        "Meta": dict(node.meta),
        "CreateIndex": index,
        "ModifyIndex": index,
    }


def catalog_check(node: Node, check: Check) -> Json:
    """A check as the health endpoints have it."""
    return _check(node, check) | {"CreateIndex": check.created, "ModifyIndex": check.modified}


def agent_check(node: Node, check: Check) -> Json:
    """A check as /v1/agent/checks has it: agents know no indexes."""
    return _check(node, check) | {"CreateIndex": 0, "ModifyIndex": 0}


def agent_health_check(node: Node, check: Check) -> Json:
    """A check as /v1/agent/health has it."""
    tags = list(check.service_tags) or None
    return agent_check(node, check) | {"ServiceTags": tags, "Type": "", "Definition": _NO_DEFINITION}


def aggregated(checks: Iterable[Check]) -> str:
    """Consul's word for several checks together: maintenance before critical before warning before passing."""
    checks = list(checks)
    if any(check.kind == "maintenance" for check in checks):
        return "maintenance"
    found = {check.status for check in checks}
    return next((s.value for s in (Status.CRITICAL, Status.WARNING) if s in found), Status.PASSING.value)


def pair_entry(pair: Pair, value: str | None) -> Json:
    """A key's entry; `value` is its value in base 64, None if it is empty."""
    return {
        "LockIndex": 0,
        "Key": pair.key,
        "Flags": pair.flags,
        "Value": value,
        "CreateIndex": pair.created,
        "ModifyIndex": pair.modified,
    }


def _check(node: Node, check: Check) -> Json:
    return {
        "Node": node.name,
        "CheckID": check.id,
        "Name": check.name,
        "Status": check.status.value,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": list(check.service_tags),
        "Type": check.kind,
        "Definition": {},
    }


def _weights(service: Service) -> Mapping[str, int]:
    return {"Passing": service.weights.passing, "Warning": service.weights.warning}


def _tagged(service: Service) -> Json:
    """The field TaggedAddresses; Consul leaves it out where there are none."""
    if not service.tagged_addresses:
        return {}
    entries = service.tagged_addresses.items()
    return {"TaggedAddresses": {tag: {"Address": host, "Port": port} for tag, (host, port) in entries}}


def _node_addresses(node: Node) -> Mapping[str, str]:
    version = "ipv6" if ":" in node.address else "ipv4"
    return dict.fromkeys(("lan", f"lan_{version}", "wan", f"wan_{version}"), node.address)
