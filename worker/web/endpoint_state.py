"""The state of one port of a worker: which process it belongs to, whether it takes requests, whether it is leaving."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class EndpointState:
    """The boot id identifies the process; `ready` once its models are loaded, `leaving` while it drains."""

    boot: str
    ready: bool = False
    leaving: bool = False

    @property
    def takes_requests(self) -> bool:
        """Whether clients should send requests here."""
        return self.ready and not self.leaving
