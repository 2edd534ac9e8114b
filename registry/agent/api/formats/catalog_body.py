"""The bodies of catalog/register and catalog/deregister, and the catalogue's records in a transaction. Pure.

Unlike an agent's registrations these define no checks to run: a client writes down the status that it found.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import MappingProxyType

from registry.agent.api.formats.go_duration import format_duration
from registry.agent.api.formats.json_body import Fields
from registry.agent.errors import ApiError
from registry.agent.state.records import Check, Node, Service, Status, Weights

_REGISTER_FIELDS = (
    "Datacenter", "ID", "Node", "Address", "TaggedAddresses", "NodeMeta", "Service", "Check", "Checks",
    "SkipNodeUpdate", "CreateIndex", "ModifyIndex", "Token", "WriteRequest",
)  # fmt: skip
_DEREGISTER_FIELDS = ("Datacenter", "Node", "ServiceID", "CheckID", "Token", "WriteRequest")
_NODE_FIELDS = (
    "ID", "Node", "Address", "Datacenter", "TaggedAddresses", "Meta", "CreateIndex", "ModifyIndex",
)  # fmt: skip
_SERVICE_FIELDS = (
    "Kind", "ID", "Service", "Tags", "Address", "TaggedAddresses", "Meta", "Port", "Weights", "EnableTagOverride",
    "Proxy", "Connect", "CreateIndex", "ModifyIndex", "Namespace", "ContentHash", "Datacenter",
)  # fmt: skip
_CHECK_FIELDS = (
    "Node", "CheckID", "Name", "Status", "Notes", "Output", "ServiceID", "ServiceName", "ServiceTags", "Type",
    "Definition", "CreateIndex", "ModifyIndex", "Namespace",
)  # fmt: skip
_DEFINITION_DURATIONS = ("Interval", "Timeout", "DeregisterCriticalServiceAfter")
_DEFINITION_FIELDS = (
    *_DEFINITION_DURATIONS, "HTTP", "Header", "Method", "Body", "TLSSkipVerify", "TCP", "IntervalDuration",
    "TimeoutDuration", "DeregisterCriticalServiceAfterDuration", "OutputMaxSize", "ScriptArgs", "DockerContainerID",
    "Shell", "GRPC", "GRPCUseTLS", "AliasNode", "AliasService", "TTL",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Registration:
    """A node to be written, unless it is there and `skip_node_update`; a service and checks of it."""

    node: Node
    service: Service | None
    checks: tuple[Check, ...]
    skip_node_update: bool


@dataclass(frozen=True, slots=True)
class Deregistration:
    """What is to be removed: the service, else the check, else the node."""

    datacenter: str
    node: str
    service_id: str
    check_id: str


def registration(fields: Fields, *, default_datacenter: str) -> Registration:
    """A registration from the body of catalog/register. Raises ApiError in Consul's words."""
    fields.only(_REGISTER_FIELDS)
    name, skip = fields.text("Node"), fields.flag("SkipNodeUpdate")
    node = Node(
        id=_node_id(fields.text("ID")) if name else "",
        name=name,
        address=fields.text("Address"),
        datacenter=fields.text("Datacenter") or default_datacenter,
        tagged_addresses=MappingProxyType(fields.text_map("TaggedAddresses")),
        meta=MappingProxyType(fields.text_map("NodeMeta")),
    )
    service = service_of_node(fields.nested("Service"), node=name) if fields.has("Service") else None
    given = fields.nested_list("Checks") + ([fields.nested("Check")] if fields.has("Check") else [])
    checks = tuple(check_of_node(check, node=name) for check in given)
    if not name:
        raise ApiError(500, "Must provide node")
    if not node.address and not skip:
        raise ApiError(500, "Must provide address if SkipNodeUpdate is not set")
    if service:
        check_service(service)
    for check in checks:
        if check.node != name:
            raise ApiError(500, f'check node "{check.node}" does not match node "{name}"')
    return Registration(node, service, checks, skip)


def deregistration(fields: Fields) -> Deregistration:
    """What to remove, from the body of catalog/deregister. Raises ApiError in Consul's words."""
    fields.only(_DEREGISTER_FIELDS)
    body = Deregistration(
        fields.text("Datacenter"), fields.text("Node"), fields.text("ServiceID"), fields.text("CheckID")
    )
    if not body.node:
        raise ApiError(500, "Must provide node")
    return body


def node_of_transaction(fields: Fields, *, default_datacenter: str) -> Node:
    """A node as a transaction writes it. Raises BadRequest."""
    fields.only(_NODE_FIELDS)
    return Node(
        id=fields.text("ID"),
        name=fields.text("Node"),
        address=fields.text("Address"),
        datacenter=fields.text("Datacenter") or default_datacenter,
        tagged_addresses=MappingProxyType(fields.text_map("TaggedAddresses")),
        meta=MappingProxyType(fields.text_map("Meta")),
    )


def service_of_node(fields: Fields, *, node: str) -> Service:
    """A service as the catalogue has it; without an id it has its name's. Raises BadRequest."""
    fields.only(_SERVICE_FIELDS)
    if (
        fields.given("Kind")
        or fields.nested("Connect").given("Native")
        or fields.nested("Proxy").given("DestinationServiceName")
    ):
        raise ApiError(400, "The embedded agent has no service mesh: register without Kind, Proxy and Connect.")
    name = fields.text("Service")
    addresses = fields.nested_map("TaggedAddresses")
    weights = fields.nested("Weights")
    return Service(
        id=fields.text("ID") or name,
        name=name,
        node=node,
        tags=fields.texts("Tags"),
        address=fields.text("Address"),
        port=fields.number("Port"),
        meta=MappingProxyType(fields.text_map("Meta")),
        weights=Weights(weights.number("Passing"), weights.number("Warning")) if fields.given("Weights") else Weights(),
        tagged_addresses=MappingProxyType(
            {tag: (one.text("Address"), one.number("Port")) for tag, one in addresses.items()}
        ),
        enable_tag_override=fields.flag("EnableTagOverride"),
    )


def check_service(service: Service) -> None:
    """Raises ApiError where Consul refuses a service before it writes it."""
    if service.id and not service.name:
        raise ApiError(500, "Must provide service name with ID")
    if service.address in ("0.0.0.0", "::", "[::]"):
        raise ApiError(500, "Invalid service address")


def check_of_node(fields: Fields, *, node: str) -> Check:
    """A check as the catalogue has it; without an id it has its name's, without a status it is critical."""
    fields.only(_CHECK_FIELDS)
    definition = fields.nested("Definition")
    definition.only(_DEFINITION_FIELDS)
    kind = "http" if definition.text("HTTP") else "tcp" if definition.text("TCP") else ""
    return Check(
        id=fields.text("CheckID") or fields.text("Name"),
        name=fields.text("Name"),
        node=fields.text("Node") or node,
        status=fields.text("Status") or Status.CRITICAL,
        kind=fields.text("Type") or kind,
        notes=fields.text("Notes"),
        service_id=fields.text("ServiceID"),
        definition=MappingProxyType(_definition(definition)),
        output=fields.text("Output"),
    )


def _definition(fields: Fields) -> dict[str, object]:
    """How a check is run, in Consul's names and order; fields that the client left out are left out."""
    found: dict[str, object] = {
        name: format_duration(fields.duration_s(name)) for name in _DEFINITION_DURATIONS if fields.given(name)
    }
    found |= {name: fields.text(name) for name in ("HTTP",) if fields.given(name)}
    if fields.given("Header"):
        found["Header"] = {name: list(values) for name, values in fields.texts_map("Header").items()}
    found |= {name: fields.text(name) for name in ("Method", "Body") if fields.given(name)}
    if fields.flag("TLSSkipVerify"):
        found["TLSSkipVerify"] = True
    return found | {name: fields.text(name) for name in ("TCP",) if fields.given(name)}


def _node_id(text: str) -> str:
    if text and len(text) != 36:
        raise ApiError(500, "Bad node ID: uuid string is wrong length")
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError:
        raise ApiError(500, "Bad node ID: uuid is improperly formatted") from None
