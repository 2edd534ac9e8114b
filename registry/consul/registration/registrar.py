"""The calls that keep a worker's registration, and the places where it can be kept: at an agent or in the catalogue."""

from __future__ import annotations

from typing import Protocol

from registry.consul.catalog import Catalog, Checks
from registry.consul.registration.catalog_registrar import CatalogRegistrar
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance, RegisterAt


class Registrar(Protocol):
    """Keeps registrations of instances.

    Every method raises ConsulUnavailable when no usable answer came, ConsulRefused when Consul said no; `maintenance`,
    `heartbeat` and `silence` raise Forgotten for an instance that is not registered (any more).
    """

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
        """Whether Consul's servers have a leader, as far as can be told at once; never raises."""

    async def close(self) -> None:
        """Close the connections."""


def open_registrar(place: RegisterAt, consul: ConsulSettings) -> Registrar:
    """The registrar for this place."""
    return CatalogRegistrar(consul) if place is RegisterAt.CATALOG else Catalog(consul)
