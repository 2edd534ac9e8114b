"""The settings of `p2p registry`, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.chosen_backend import BackendSettings
from registry.discovery.following_limit import FOLLOWED_AT_MOST
from registry.runtime.logs.settings import LogSettings
from registry.runtime.tls.server import TlsFiles
from registry.runtime.tls.trust import TrustFiles
from registry.security.access_settings import OPEN_TO_ALL, AccessSettings
from registry.security.tickets.ticket_signer import LIFETIME_S


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What `p2p registry` takes: see its --help for the meaning of each.

    `shared` lets other lookup processes listen on the same port; `dns_port` None means no DNS; `tls` None plain HTTP.
    `followed_at_most` is this process's share of the services that may be followed. `ticket_keys` is the folder with
    the keys that sign tickets of `ticket_lifetime_s`; None: no tickets are signed. `access` says who may ask;
    `ui` whether there is a web page.
    `failover_datacenters` are those in which a service is looked for, in this order, when no instance is healthy here.
    `checks`: what requests to workers trust, and what they show to workers: checks of those in the catalogue, metrics.
    `figures` says whether workers are asked for their metrics, with `worker_token` where they want one; `processes`:
    how many lookup processes do that behind this port.
    """

    backend: BackendSettings
    host: str = "127.0.0.1"
    port: int = 12480
    service: str = "classify"
    state: Path | None = None
    shared: bool = False
    dns_port: int | None = None
    tls: TlsFiles | None = None
    followed_at_most: int = FOLLOWED_AT_MOST
    ticket_keys: Path | None = None
    ticket_lifetime_s: int = LIFETIME_S
    failover_datacenters: tuple[str, ...] = ()
    access: AccessSettings = OPEN_TO_ALL
    checks: TrustFiles = field(default_factory=TrustFiles)
    figures: bool = True
    worker_token: str | None = field(default=None, repr=False)
    processes: int = 1
    ui: bool = True
    log: LogSettings = field(default_factory=LogSettings)

    def as_arguments(self) -> list[str]:
        """The flags with which another process has these settings, but for the ports and the secrets of the backend."""
        values = {"--host": self.host, "--service": self.service, "--state": self.state or ""}
        more: dict[str, object] = {
            "--followed-at-most": self.followed_at_most,
            "--ticket-lifetime": self.ticket_lifetime_s,
        }
        if self.failover_datacenters:
            more["--failover-dc"] = ",".join(self.failover_datacenters)
        if self.ticket_keys is not None:
            more["--ticket-keys"] = self.ticket_keys
        tls = [] if self.tls is None else self.tls.as_flags()
        page = ([] if self.ui else ["--no-ui"]) + ([] if self.figures else ["--no-figures"])
        plain = _flags(values) + self.backend.as_arguments() + _flags(more) + page + tls
        return plain + self.checks.as_flags("--check") + self.access.as_arguments() + self.log.as_arguments()


def _flags(values: Mapping[str, object]) -> list[str]:
    return [str(part) for each in values.items() for part in each]
