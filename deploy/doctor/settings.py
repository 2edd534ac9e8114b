"""The settings of `p2p doctor` as one frozen value: what is examined, and as which parts of a deployment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deploy.doctor.role import Role
from registry.consul.settings import ConsulSettings
from registry.instances.instance import RegisterAt
from registry.runtime.tls.server import TlsFiles
from registry.runtime.tls.trust import TrustFiles
from worker.advertising.advertise_flag import Advertise


@dataclass(frozen=True, slots=True)
class DoctorSettings:
    """What `p2p doctor` takes: see its --help for the meaning of each.

    `asked_role` None: all roles are examined, and what only one of them lacks is no error. `lookups` are the base URLs
    of the lookup services; `host`, `port` and `advertise` are those of the worker, port 0 standing for any free one.
    `token` is sent to lookup services. `register` is the worker's place in Consul.
    """

    consul: ConsulSettings
    cache: Path
    asked_role: Role | None = None
    lookups: tuple[str, ...] = ("http://127.0.0.1:12480",)
    service: str = "classify"
    host: str = "127.0.0.1"
    port: int = 0
    advertise: Advertise | None = None
    allow_loopback: bool = False
    register: RegisterAt = RegisterAt.AGENT
    tls: TlsFiles | None = None
    trust: TrustFiles = field(default_factory=TrustFiles)
    token: str | None = field(default=None, repr=False)
    tokens: Path | None = None
    ticket_keys: Path | None = None
    require_ticket: bool = False

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that are examined."""
        return tuple(Role) if self.asked_role is None else (self.asked_role,)
