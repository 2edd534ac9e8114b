"""Which fields a filter expression can name in each kind of entry, and of which type each field is. Pure data.

They are those of Consul's structs (agent/structs, api/agent.go); an entry may lack a field, which then is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, a whole number or a boolean."""

    kind: Literal["string", "int", "bool"]


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of scalars or of structs."""

    item: Scalar | Struct


@dataclass(frozen=True, slots=True)
class Table:
    """A map from names that the user chooses to values of one type."""

    value: Scalar | Struct


@dataclass(frozen=True, slots=True)
class Struct:
    """An object with fixed fields."""

    fields: Mapping[str, Field]


Field = Scalar | Sequence | Table | Struct

_STRING, _INT, _BOOL = Scalar("string"), Scalar("int"), Scalar("bool")
_STRINGS, _STRING_TABLE = Sequence(_STRING), Table(_STRING)
_WEIGHTS = Struct({"Passing": _INT, "Warning": _INT})
_ADDRESSES = Table(Struct({"Address": _STRING, "Port": _INT}))
_MESH_GATEWAY = Struct({"Mode": _STRING})
_CONNECT = Struct({"Native": _BOOL})

_UPSTREAM = Struct(
    {
        "DestinationType": _STRING,
        "DestinationNamespace": _STRING,
        "DestinationName": _STRING,
        "Datacenter": _STRING,
        "LocalBindAddress": _STRING,
        "LocalBindPort": _INT,
        "MeshGateway": _MESH_GATEWAY,
    }
)
_EXPOSED_PATH = Struct(
    {
        "ListenerPort": _INT,
        "Path": _STRING,
        "LocalPathPort": _INT,
        "Protocol": _STRING,
        "ParsedFromCheck": _BOOL,
    }
)
_PROXY = Struct(
    {
        "DestinationServiceName": _STRING,
        "DestinationServiceID": _STRING,
        "LocalServiceAddress": _STRING,
        "LocalServicePort": _INT,
        "Upstreams": Sequence(_UPSTREAM),
        "MeshGateway": _MESH_GATEWAY,
        "Expose": Struct({"Checks": _BOOL, "Paths": Sequence(_EXPOSED_PATH)}),
    }
)

NODE = Struct(
    {
        "ID": _STRING,
        "Node": _STRING,
        "Address": _STRING,
        "Datacenter": _STRING,
        "TaggedAddresses": _STRING_TABLE,
        "Meta": _STRING_TABLE,
    }
)
"""A node, in catalog/nodes."""

NODE_SERVICE = Struct(
    {
        "Kind": _STRING,
        "ID": _STRING,
        "Service": _STRING,
        "Tags": _STRINGS,
        "Address": _STRING,
        "TaggedAddresses": _ADDRESSES,
        "Meta": _STRING_TABLE,
        "Port": _INT,
        "Weights": _WEIGHTS,
        "EnableTagOverride": _BOOL,
        "Proxy": _PROXY,
        "Connect": _CONNECT,
    }
)
"""A service, in agent/services, catalog/node and catalog/node-services."""

HEALTH_CHECK = Struct(
    {
        "Node": _STRING,
        "CheckID": _STRING,
        "Name": _STRING,
        "Status": _STRING,
        "Notes": _STRING,
        "Output": _STRING,
        "ServiceID": _STRING,
        "ServiceName": _STRING,
        "ServiceTags": _STRINGS,
        "Type": _STRING,
    }
)
"""A check, in agent/checks, health/node, health/checks and health/state."""

CHECK_SERVICE_NODE = Struct({"Node": NODE, "Service": NODE_SERVICE, "Checks": Sequence(HEALTH_CHECK)})
"""A service with its node and checks, in health/service."""

SERVICE_NODE = Struct(
    {
        "ID": _STRING,
        "Node": _STRING,
        "Address": _STRING,
        "Datacenter": _STRING,
        "TaggedAddresses": _STRING_TABLE,
        "NodeMeta": _STRING_TABLE,
        "ServiceKind": _STRING,
        "ServiceID": _STRING,
        "ServiceName": _STRING,
        "ServiceTags": _STRINGS,
        "ServiceAddress": _STRING,
        "ServiceTaggedAddresses": _ADDRESSES,
        "ServiceWeights": _WEIGHTS,
        "ServiceMeta": _STRING_TABLE,
        "ServicePort": _INT,
        "ServiceEnableTagOverride": _BOOL,
        "ServiceProxy": _PROXY,
        "ServiceConnect": _CONNECT,
    }
)
"""A service with its node, in catalog/service."""
