"""What the agent knows, as frozen values: the node, its services and their checks.

Two records are equal when Consul would say that nothing changed: the indexes at which they were made and
last changed do not count, nor does a check's output (Consul itself sends a check whose output alone
changed to its servers only every few minutes).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


class Status(enum.StrEnum):
    """A check's status in Consul's words."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Node:
    """The one machine of this catalogue. `id` is a UUID, new with every start; `address` its loopback address."""

    id: str
    name: str
    address: str
    datacenter: str = "dc1"
    meta: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"consul-network-segment": ""}))


@dataclass(frozen=True, slots=True)
class Weights:
    """Shares of traffic, 0 to 65535, while passing and while in warning; Consul's DNS uses them and so do we."""

    passing: int = 1
    warning: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """One registered instance of a service; `id` is unique on the node, `name` is shared by its equals."""

    id: str
    name: str
    tags: tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    meta: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    weights: Weights = field(default_factory=Weights)
    tagged_addresses: Mapping[str, tuple[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    enable_tag_override: bool = False
    created: int = field(default=0, compare=False)
    modified: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its present state. An empty `service_id` means that it is about the node.

    `kind` is Consul's `Type`: ttl, http, tcp, maintenance, or empty for the agent's own.
    """

    id: str
    name: str
    status: Status = Status.CRITICAL
    kind: str = ""
    notes: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: tuple[str, ...] = ()
    output: str = field(default="", compare=False)
    created: int = field(default=0, compare=False)
    modified: int = field(default=0, compare=False)
