"""What the registry knows at one moment: frozen values that flow from Consul to every answer.

An `Instance` is one worker of one service; a `Snapshot` is all the workers of a service as of one
Consul index. Nothing here does I/O, and nothing here can be changed after it was made.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_VERSION_TAG = "version-"


def version_tag(version: str) -> str:
    """The tag of a worker that serves this version; a DNS name can ask for it: version-3.classify.service.consul."""
    return f"{_VERSION_TAG}{version}"


class Health(enum.StrEnum):
    """Consul's word for the worst of an instance's checks, and maintenance as a word of its own."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"
    MAINTENANCE = "maintenance"

    @property
    def serving(self) -> bool:
        """Whether an instance in this state takes requests; a warning means loaded, not broken."""
        return self in (Health.PASSING, Health.WARNING)


def stable_id(service: str, host: str, port: int) -> str:
    """The id of the worker at one address: the same after a restart, so that registering again replaces it."""
    return f"{service}-{host}-{port}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One worker of a service.

    `weight` is a share of the traffic (1 or more): what Consul's `Weights` say for its present health.
    `boot` names the process: it changes when a worker restarts on the same port.
    """

    service: str
    id: str
    host: str
    port: int
    weight: int = 1
    version: str = ""
    tags: tuple[str, ...] = ()
    boot: str = ""
    health: Health = Health.PASSING
    meta: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def versions(self) -> frozenset[str]:
        """All versions of its model that it serves: its own, which is the default, and those that tags name."""
        tagged = (tag.removeprefix(_VERSION_TAG) for tag in self.tags if tag.startswith(_VERSION_TAG))
        return frozenset(v for v in (self.version, *tagged) if v)

    @property
    def address(self) -> str:
        """`host:port` as a URL wants it: an IPv6 host stands in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All instances of a service, healthy or not, as of one Consul index.

    `index` is Consul's, for long polls; `instances` are sorted by id, so that equal sets compare equal.
    """

    service: str
    index: int = 0
    instances: tuple[Instance, ...] = ()

    @property
    def serving(self) -> tuple[Instance, ...]:
        """Those that take requests."""
        return tuple(i for i in self.instances if i.health.serving)
