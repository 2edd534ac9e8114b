"""What `p2p up` takes, as one frozen value."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from registry.runtime.address import server_url
from registry.runtime.logs.settings import LogSettings
from registry.runtime.tls.server import TlsFiles
from registry.runtime.tls.trust import TrustFiles

HOST = "127.0.0.1"
"""Where everything that `p2p up` starts listens."""

DEFAULT_PORT = 12480
"""The port of the lookup service that clients ask by default."""


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What `p2p up` takes; `environ` is the environment of the child processes.

    `ticket_keys` is the folder with the keys of the lookup service's tickets, which workers then require. `tokens` is
    the file with the tokens that the lookup service and the workers ask for.
    `model_flags` are flags of `p2p worker` about the model, each with its value, which all workers get. `tls` None: the
    lookup service and the workers speak plain HTTP; else `trust` is how they are reached from here, and how the
    embedded agent checks the workers. That agent itself always speaks plain HTTP: only this machine reaches it. `log`
    is how all parts log.
    """

    environ: Mapping[str, str] = field(repr=False)  # it may hold tokens
    workers: int = 2
    model: str | None = None
    service: str = "classify"
    port: int = DEFAULT_PORT
    consul: str | None = None
    discovery: str | None = None
    ticket_keys: Path | None = None
    tokens: Path | None = None
    allow_loopback: bool = False
    model_flags: tuple[str, ...] = ()
    tls: TlsFiles | None = None
    trust: TrustFiles = field(default_factory=TrustFiles)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def lookup_url(self) -> str:
        """Where the lookup service answers."""
        return server_url(HOST, self.port, tls=self.tls is not None)

    @property
    def page_origins(self) -> tuple[str, ...]:
        """The origins of the lookup service's web page, which sends photos straight to the workers."""
        return self.lookup_url, self.lookup_url.replace(HOST, "localhost")

    @property
    def tls_flags(self) -> list[str]:
        """The flags of the lookup service and the workers about TLS."""
        return [] if self.tls is None else self.tls.as_flags()

    @property
    def model_served(self) -> str:
        """What the workers serve, in the middle of a sentence."""
        if self.model:
            return self.model
        flags = dict(itertools.pairwise(self.model_flags))
        if flags.get("--engine") == "echo":
            return "no model (the engine echo)"
        return "the ImageNet model EfficientNet-Lite0"

    @property
    def agent_log_flags(self) -> list[str]:
        """The flags of the embedded agent about its log; it has no access log."""
        return replace(self.log, access_sample=None).as_arguments()
