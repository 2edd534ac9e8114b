"""The settings of a worker as one frozen value; the defaults of `p2p worker` stand here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from registry.instances.instance import RegisterAt
from registry.security.access_settings import OPEN_TO_ALL, AccessSettings
from worker.artifacts.version_plan import LATEST_ONLY, Policy
from worker.system.cpu import usable_cores

if TYPE_CHECKING:  # importing them takes longer than `p2p --help` may
    from registry.chosen_backend import BackendSettings
    from registry.runtime.tls.server import TlsFiles
    from worker.advertising.advertise_flag import Advertise
    from worker.artifacts.source import ModelSource


@dataclass(frozen=True, slots=True)
class CascadeSource:
    """A cascade: the file that describes it, and how the services of its steps are found.

    `registry` is the lookup service, as the client library takes it, `client` the other options of the library's
    client, such as its token and certificates.
    """

    path: Path
    registry: str
    client: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)


@dataclass(frozen=True, slots=True)
class Served:
    """One model of a worker: its name, which is that of its service, and where its files are."""

    name: str
    source: ModelSource


@dataclass(frozen=True)  # without slots, so that a default can be read from the class: `WorkerSettings.host`
class WorkerSettings:
    """What `p2p worker` takes: see its --help for the meaning of each.

    Sizes are in bytes, images or pixels, times in seconds, as the names say. `source` is the model that answers
    for `service`; `more` are further models of the same worker, each with a service and a port of its own. With
    `cascade` a cascade answers for `service`, and `source` says how the models of its steps are loaded.
    `require_ticket`: a request is answered only with a ticket of a lookup service; `access` says who else may ask.
    `watch_s` is the time between two looks at a folder of versions, `load_timeout_s` the longest that the trial load
    of a new version may take, `finish_s` the longest that requests in flight are waited for at the end. `tls` None:
    plain HTTP. `agent_check`: whether Consul's agent fetches the health path (None: unless clients need a
    certificate), which expects a certificate for `agent_check_name` (None: for the address).
    `access_log_sample` is the part of the requests that the access log names; None: there is none.
    `ui`: whether there are web pages at `/ui/` and `/docs`.
    """

    backend: BackendSettings
    source: ModelSource
    service: str = "classify"
    more: tuple[Served, ...] = ()
    cascade: CascadeSource | None = None
    version_policy: Policy = LATEST_ONLY
    version_labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    watch_s: float = 2.0
    host: str = "127.0.0.1"
    port: int = 0
    tls: TlsFiles | None = None
    agent_check: bool | None = None
    agent_check_name: str | None = None
    advertise: Advertise | None = None
    allow_loopback: bool = False
    register: RegisterAt = RegisterAt.AGENT
    weight: int = 1
    top: int = 5
    max_body_bytes: int = 32 << 20
    body_memory_bytes: int = 256 << 20
    deadline_s: float = 30.0
    queue_most: int = 256
    load_timeout_s: float = 600.0
    drain_s: float = 2.0
    finish_s: float = 30.0
    require_ticket: bool = False
    access: AccessSettings = OPEN_TO_ALL
    access_log_sample: float | None = None
    ui: bool = True
    decode_threads: int = field(default_factory=usable_cores)

    @property
    def models(self) -> tuple[Served, ...]:
        """All models, the first of them the default."""
        return (Served(self.service, self.source), *self.more)
