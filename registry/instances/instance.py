"""An instance, one registered worker process of a service, as a frozen value that flows from Consul to every answer."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from registry.runtime.address import host_port

_VERSION_TAG = "version-"

TAG = "p2p"
"""The tag of every service that this project registered; the lookup service follows those from the start."""

LOADING_META = "loading"
"""What an instance's meta says while it loads a further version: the version."""

_FAILED_META = "failed-"
"""What an instance's meta says of a version that could not be loaded, before the version: the error."""

META_BYTES = 400
"""How much of an error the meta holds; Consul allows 512 for a value."""

TICKET_AUTH = "ticket"
TOKEN_AUTH = "token"
"""What an instance's meta says under `auth` where requests need a ticket, or a token."""


def version_tag(version: str) -> str:
    """The tag of a worker that serves this version, such as `version-3`; DNS: version-3.classify.service.consul."""
    return f"{_VERSION_TAG}{version}"


def is_version_tag(tag: str) -> bool:
    """Whether a tag says that a worker serves a version, in whatever case a DNS client spells it."""
    return tag.lower().startswith(_VERSION_TAG)


def failed_meta(version: str, error: str) -> dict[str, str]:
    """What the meta says of a version that could not be loaded; Consul takes values of 512 bytes."""
    return {f"{_FAILED_META}{version}": error.encode()[:META_BYTES].decode(errors="ignore")}


class Health(enum.StrEnum):
    """The worst status of an instance's checks, in Consul's words; maintenance is a status of its own."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"
    MAINTENANCE = "maintenance"

    @property
    def serving(self) -> bool:
        """Whether an instance of this health takes requests; a warning means loaded, not broken."""
        return self in (Health.PASSING, Health.WARNING)


class RegisterAt(enum.StrEnum):
    """Where an instance is registered: at the agent of its host, or in the catalogue under a node of its own."""

    AGENT = "agent"
    CATALOG = "catalog"


class Scheme(enum.StrEnum):
    """How an instance is asked; one whose registration says nothing is asked over http."""

    HTTP = "http"
    HTTPS = "https"

    @property
    def meta(self) -> Mapping[str, str]:
        """What a registration says of it."""
        return {} if self is Scheme.HTTP else {"scheme": self.value}


def stable_id(service: str, host: str, port: int) -> str:
    """The id of the worker at one address: the same after a restart, so that registering again replaces it."""
    return f"{service}-{host}-{port}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One registered worker process of a service.

    `weight` is its share of the requests (1 or more): what Consul's `Weights` say for its current health.
    `boot` identifies the process: it changes when a worker restarts on the same port. `refused`: it is critical, and a
    check found that nobody listens at its port. `output` is what the worst check says, or an operator's reason for a
    maintenance; "" while it passes. Instances that differ in it only are equal: it changes at every check. `node` is
    its node in Consul, "" where that is not known; it does not count either.
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
    refused: bool = False
    output: str = field(default="", compare=False)
    node: str = field(default="", compare=False)
    meta: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def versions(self) -> frozenset[str]:
        """All versions of the model that it serves: `version`, which is the default, and those that tags name."""
        tagged = (tag.removeprefix(_VERSION_TAG) for tag in self.tags if tag.startswith(_VERSION_TAG))
        return frozenset(v for v in (self.version, *tagged) if v)

    @property
    def loading(self) -> str:
        """The version that it loads beside those that it serves, as its registration says; "" for none."""
        return self.meta.get(LOADING_META, "")

    @property
    def failed_versions(self) -> Mapping[str, str]:
        """The versions that it could not load, with the errors, as its registration says."""
        return {
            name.removeprefix(_FAILED_META): error for name, error in self.meta.items() if name.startswith(_FAILED_META)
        }

    @property
    def address(self) -> str:
        """`host:port` as a URL wants it: an IPv6 host stands in brackets."""
        return host_port(self.host, self.port)

    @property
    def tells_metrics(self) -> bool:
        """Whether it is a worker of ours; of a server that `p2p exec` registered it is not known if it has metrics."""
        return "protocol" in self.meta

    @property
    def scheme(self) -> str:
        """`https` where the registration says that the instance speaks TLS, else `http`."""
        return "https" if self.meta.get("scheme") == "https" else "http"

    @property
    def auth(self) -> str:
        """What the instance wants of clients: a `ticket` of the lookup service, a `token`, or `none`."""
        auth = self.meta.get("auth", "")
        return auth if auth in (TICKET_AUTH, TOKEN_AUTH) else "none"

    @property
    def origin(self) -> str:
        """Scheme and address as a URL begins: `https://host:port`."""
        return f"{self.scheme}://{self.address}"
