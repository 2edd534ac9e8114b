"""The settings of `p2p exec` as one frozen value; its defaults stand here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry.instances.instance import RegisterAt, Scheme

if TYPE_CHECKING:  # importing it takes longer than `p2p --help` may
    from registry.chosen_backend import BackendSettings
    from worker.advertising.advertise_flag import Advertise


@dataclass(frozen=True)  # without slots, so that a default can be read from the class: `ExecSettings.host`
class ExecSettings:
    """What `p2p exec` takes: see its --help for the meaning of each. `environ` is what the command sees."""

    backend: BackendSettings
    service: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    advertise: Advertise | None = None
    allow_loopback: bool = False
    register: RegisterAt = RegisterAt.AGENT
    scheme: Scheme = Scheme.HTTP
    agent_check_name: str | None = None
    health_path: str = "/"
    start_timeout_s: float = 60.0
    drain_s: float = 2.0
    stop_timeout_s: float = 30.0
    tags: tuple[str, ...] = ()
    weight: int = 1
