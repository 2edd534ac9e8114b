"""What the catalogue holds, as frozen values: nodes, their services and their checks.

Two records are equal when Consul would say that nothing changed: the indexes at which they were made and
last changed do not count, nor does a check's output (Consul's agent sends a check whose output alone
changed to its servers only every few minutes).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

_Value = TypeVar("_Value")


def _nothing() -> Mapping[str, _Value]:
    return MappingProxyType({})


class Status(enum.StrEnum):
    """A check's status in Consul's words."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the catalogue, by its name. `id` is a UUID or empty.

    The agent's own node has a new UUID with every start and a loopback address; other nodes are what clients
    have registered.
    """

    id: str
    name: str
    address: str
    datacenter: str = "dc1"
    tagged_addresses: Mapping[str, str] = field(default_factory=_nothing)
    meta: Mapping[str, str] = field(default_factory=_nothing)
    created: int = field(default=0, compare=False)
    modified: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Weights:
    """Shares of traffic, 0 to 65535, while passing and while in warning, for Consul's DNS and for this project."""

    passing: int = 1
    warning: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """One instance of a service: `id` is unique on its `node`; all instances of the service share `name`."""

    id: str
    name: str
    node: str = ""
    tags: tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    meta: Mapping[str, str] = field(default_factory=_nothing)
    weights: Weights = field(default_factory=Weights)
    tagged_addresses: Mapping[str, tuple[str, int]] = field(default_factory=_nothing)
    enable_tag_override: bool = False
    created: int = field(default=0, compare=False)
    modified: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its present state, unique on its `node`. An empty `service_id` means that it is about the node.

    `kind` is Consul's `Type`: ttl, http, tcp, maintenance, or empty for the agent's own. `status` is one of
    `Status`, unless a client wrote another word into the catalogue. `definition` is what such a client says about
    how the check is run, in Consul's names.
    """

    id: str
    name: str
    node: str = ""
    status: str = Status.CRITICAL
    kind: str = ""
    notes: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: tuple[str, ...] = ()
    definition: Mapping[str, object] = field(default_factory=_nothing)
    output: str = field(default="", compare=False)
    created: int = field(default=0, compare=False)
    modified: int = field(default=0, compare=False)
