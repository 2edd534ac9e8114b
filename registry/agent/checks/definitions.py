"""What a client asks to be registered: frozen definitions of services and of checks, complete and valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from registry.agent.state.records import Service, Status

TIMEOUT_S = 10.0
"""How long a probe may take if its check says nothing (Consul's agent/checks)."""

OUTPUT_MAX_BYTES = 4096
"""How much of a check's output is kept if the check says nothing (Consul's check_output_max_size)."""


@dataclass(frozen=True, slots=True)
class Ttl:
    """A check that its owner must renew within `lifetime_s`."""

    lifetime_s: float
    output_max_bytes: int = OUTPUT_MAX_BYTES
    kind = "ttl"


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """One request whose status decides: 2xx passing, 429 warning, all else critical."""

    url: str
    method: str = "GET"
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    body: str = ""
    verify_tls: bool = True
    follow_redirects: bool = True
    timeout_s: float = TIMEOUT_S
    output_max_bytes: int = OUTPUT_MAX_BYTES
    kind = "http"


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """One connection to `address` ("host:port"): passing if it opens."""

    address: str
    timeout_s: float = TIMEOUT_S
    kind = "tcp"


@dataclass(frozen=True, slots=True)
class Repeated:
    """A probe every `interval_s`.

    The check changes its status after `successes` good or `failures` bad results in a row; 0 and 1 mean at once.
    """

    probe: HttpProbe | TcpProbe
    interval_s: float
    successes: int = 0
    failures: int = 0

    @property
    def kind(self) -> str:
        """Consul's word for the probe."""
        return self.probe.kind


@dataclass(frozen=True, slots=True)
class CheckDefinition:
    """A check to be registered. `reap_after_s`: remove its service after so long in critical; None: never."""

    id: str
    name: str
    run: Ttl | Repeated
    notes: str = ""
    status: Status = Status.CRITICAL
    service_id: str = ""
    reap_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """A service to be registered, with its checks, every one of which has an id."""

    service: Service
    checks: tuple[CheckDefinition, ...] = ()
