"""The calls that keep a worker's registration in a discovery backend."""

from __future__ import annotations

from typing import Protocol

from registry.backend.checks import Checks
from registry.instances.instance import Instance

LEAVING = "leaving"
"""The reason of the maintenance in which a worker leaves; a worker that starts at the same address ends it."""


class Registrar(Protocol):
    """Keeps registrations of instances in a backend of the make `product`.

    Every method but `has_leader` raises BackendUnavailable when no usable answer came, BackendRefused when the backend
    said no; `maintenance`, `heartbeat` and `silence` raise Forgotten for an instance that is not registered (any more).
    """

    product: str

    async def register(self, instance: Instance, checks: Checks) -> None:
        """Register the instance as passing, so only once it is warm. Repeating the call changes nothing."""

    async def deregister(self, instance_id: str) -> None:
        """Deregister the instance, if it is registered."""

    async def maintenance(self, instance_id: str, *, enable: bool, reason: str = "") -> None:
        """Put the instance into or out of maintenance."""

    async def heartbeat(self, instance_id: str, *, note: str = "") -> None:
        """Report that the instance works."""

    async def silence(self, instance_id: str, *, note: str) -> None:
        """Report that the instance does not work, and why."""

    async def knows(self, instance_id: str, *, boot: str) -> bool:
        """Whether the registration of the process with boot id `boot` is held."""

    async def failing_check(self, instance_id: str) -> str | None:
        """What the check of the instance's health path found, where it is critical; None where it is not."""

    async def has_leader(self) -> bool:
        """Whether the backend's servers have a leader, as far as can be told at once; never raises."""

    async def close(self) -> None:
        """Close the connections."""
